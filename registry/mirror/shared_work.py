"""Work that several callers want done: it is done once, and goes on when the callers are gone. Knows nothing of it."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class SharedWork(Generic[V]):
    """Tasks that are under way, by what they do."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[V]] = {}

    async def once(self, key: Hashable, work: Callable[[], Coroutine[None, None, V]]) -> V:
        """What `work` gives, or the one that is under way under the same key. Raises what the work raises."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: Hashable, task: "asyncio.Task[V]") -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # perhaps nobody waits any more
