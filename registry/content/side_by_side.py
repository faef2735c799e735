"""Many questions to the storage: one after the other where each takes microseconds, side by side where each is a round
trip. Knows the contract's `concurrency`, not what is asked.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TypeVar

from storage_backends.base import StorageBackend

_YIELD_EVERY = 128
"""After so many answers without a pause other requests get the event loop."""
A = TypeVar("A")
B = TypeVar("B")


async def side_by_side(
    backend: StorageBackend, work: Callable[[A], Coroutine[None, None, B]], items: Sequence[A]
) -> list[B]:
    """What `work` gives for each item, in their order. Raises what the first of them raises."""
    if backend.concurrency > 1:
        return await in_batches(backend.concurrency, work, items)
    found: list[B] = []
    for number, item in enumerate(items, 1):
        found.append(await work(item))
        if number % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
    return found


async def in_batches(size: int, work: Callable[[A], Coroutine[None, None, B]], items: Sequence[A]) -> list[B]:
    """What `work` gives for each item, in their order, for `size` of them at a time. Raises as `all_of`."""
    found: list[B] = []
    for start in range(0, len(items), size):
        found += await all_of([work(item) for item in items[start : start + size]])
    return found


async def all_of(work: Sequence[Coroutine[None, None, A]]) -> list[A]:
    """What each gives, in their order, side by side. Raises what the first that fails raises; the others are ended."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def batches(backend: StorageBackend, source: AsyncIterator[A], least: int = 1) -> AsyncIterator[list[A]]:
    """The items of `source`, as many at a time as are worth asking about side by side, or `least` if that is more."""
    size = max(backend.concurrency, least)
    batch: list[A] = []
    async for item in source:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
