"""One of all processes has the turn to fetch a blob, also after one that was killed."""

import asyncio

import pytest

from registry.content import keyspace
from registry.content.digest import Digest
from registry.mirror import turns
from registry.mirror.turns import Turn
from storage_backends.base import StorageBackend
from tests.unit.mirror.tagged_backend import TaggedBackend

_DIGEST = Digest.of(b"a layer")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "EXPIRES_SECONDS", 0.05)


async def _wait_for(backend: StorageBackend) -> list[Turn]:
    """Two who have seen for long enough that somebody had the turn and gave no sign."""
    waiting = [Turn(backend, _DIGEST, "up/1") for _ in range(2)]
    assert not any([await turn.take() for turn in waiting])
    await asyncio.sleep(0.1)
    return waiting


async def test_of_two_who_take_over_from_a_killed_process_one_gets_the_turn() -> None:
    backend = TaggedBackend()
    assert await Turn(backend, _DIGEST, "up/1").take()

    assert [await turn.take() for turn in await _wait_for(backend)] == [True, False]


async def test_what_earlier_releases_have_written_is_read() -> None:
    backend = TaggedBackend()
    await backend.put(keyspace.fetching(_DIGEST), b"up/0 7")
    first, second = await _wait_for(backend)

    assert (first.holder_key, second.holder_key) == ("up/0", "up/0")
    assert await first.take()
    assert not await second.take()
    assert second.holder_key == "up/1"
