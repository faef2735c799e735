"""One of all processes synchronises, and a killed one does not keep the others from it."""

from contextlib import AsyncExitStack

import pytest

from registry.content import keyspace
from registry.mirror.sync_turn import SyncBusy, is_due, turn
from storage_backends.base import StoredObject
from storage_backends.memory import MemoryBackend
from tests.unit.mirror.tagged_backend import TaggedBackend


async def test_it_is_due_at_once_and_then_after_the_interval() -> None:
    backend = MemoryBackend()
    assert await is_due(backend, 3600, 300)

    async with turn(backend, 300):
        assert not await is_due(backend, 0, 300)

    assert not await is_due(backend, 3600, 300)
    assert await is_due(backend, 0, 300)


async def test_who_comes_meanwhile_is_told_so() -> None:
    backend = MemoryBackend()

    async with turn(backend, 300):
        with pytest.raises(SyncBusy):
            async with turn(backend, 300):
                pass


async def test_the_turn_of_a_killed_process_can_be_taken_over() -> None:
    backend = MemoryBackend()
    await backend.put(keyspace.SYNC, b"at work 7")

    assert await is_due(backend, 3600, 0)
    async with turn(backend, 0.0):
        pass
    assert not await is_due(backend, 3600, 0)


async def test_of_two_who_take_over_from_a_killed_process_one_gets_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = TaggedBackend(clock=lambda: 0.0)
    async with turn(backend, 300):
        left = (await backend.get(keyspace.SYNC)).data
    await backend.put(keyspace.SYNC, left)

    async with AsyncExitStack() as faster:
        get = backend.get

        async def get_and_be_slow(key: str) -> StoredObject:
            found = await get(key)
            monkeypatch.undo()
            await faster.enter_async_context(turn(backend, 300))
            return found

        monkeypatch.setattr(backend, "get", get_and_be_slow)
        with pytest.raises(SyncBusy):
            async with turn(backend, 300):
                pass


async def test_a_run_that_fails_gives_the_turn_back() -> None:
    backend = MemoryBackend()

    with pytest.raises(LookupError):
        async with turn(backend, 300):
            raise LookupError

    async with turn(backend, 300):
        pass
