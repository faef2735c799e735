"""The time of a storage in memory, which a test moves on."""

import time

from registry.content.repository import Rules


class Clock:
    """For `MemoryBackend`."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def let_grace_pass(self) -> None:
        """From now on nothing that is there is young any more."""
        self.now += Rules().grace_seconds + 1
