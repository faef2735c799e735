"""A registry in memory whose clock the tests turn."""

import pytest

from registry.content.repository import Registry, Rules
from storage_backends.memory import MemoryBackend

DAY = 86400.0


class Clock:
    """The storage's time, which a test moves on."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        """Seconds since the epoch; no two moments are the same."""
        self.now += 0.001
        return self.now

    def pass_days(self, days: float) -> None:
        """Some days go by."""
        self.now += days * DAY

    def let_grace_pass(self) -> None:
        """From now on nothing that is there is young any more."""
        self.now += Rules().grace_seconds + 1


@pytest.fixture
def clock() -> Clock:
    """The storage's clock."""
    return Clock()


@pytest.fixture
def backend(clock: Clock) -> MemoryBackend:
    return MemoryBackend(clock.time)


@pytest.fixture
def registry(backend: MemoryBackend) -> Registry:
    return Registry(backend, Rules())
