"""Waiting for what cannot be given up half-way: blocking work in threads, and clean-up. Knows nothing of storage."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def to_its_end(work: Awaitable[T]) -> T:
    """Wait for `work` even if the caller is cancelled, which is told it afterwards.

    A thread cannot be stopped: whoever stopped waiting for one would close the file that it writes to.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
