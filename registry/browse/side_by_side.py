"""Many questions to a place, so many at a time, answered in the order in which they were asked."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

AT_A_TIME = 16
"""So many requests a registry is sent at a time: it answers thousands a second, and a hub counts them."""


async def in_order(work: Callable[[A], Awaitable[B]], items: AsyncIterator[A]) -> AsyncGenerator[B, None]:
    """What `work` gives for each item, in their order; as few items are read ahead as are worked on.

    Raises what the first of them raises; the others are ended.
    """
    running: deque[asyncio.Future[B]] = deque()
    try:
        async for item in items:
            running.append(asyncio.ensure_future(work(item)))
            if len(running) >= AT_A_TIME:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
