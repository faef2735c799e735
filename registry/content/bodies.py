"""The body of a request as the domain sees it: something that pours itself into a function.

Knows nothing of HTTP. What pours straight from the socket lives above; what comes in blocks is poured here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from storage_backends.waiting import to_its_end

_BLOCK = 256 * 1024
"""Blocks are gathered up to this size, so that a thread is not entered for every few bytes that arrive."""

Write = Callable[[memoryview], None]
"""Takes the next block, valid during the call only. Blocking; called from a worker thread, one call at a time."""


class Body(Protocol):
    """A request body that has not been read yet."""

    async def pump(self, write: Write) -> int:
        """Feed the whole body to `write`, in order; return the number of bytes.

        Whatever `write` raises ends the pump and comes out here. Raises `UploadInterrupted` if the client goes away,
        falls silent, or sends a body that is not well-formed; the bytes before that have been written.
        """
        ...


async def pour(blocks: AsyncIterator[bytes], write: Write) -> int:
    """Feed blocks to `write` while the next ones come; return the number of bytes.

    When `blocks` fails, or the caller is cancelled, all that arrived before is written first. Holds 512 KiB and the
    block that has just come.
    """
    total = 0
    gathered = bytearray()
    writing: asyncio.Task[None] | None = None
    try:
        async for block in blocks:
            gathered += block
            if len(gathered) >= _BLOCK:
                if writing is not None:
                    await asyncio.shield(writing)
                full, gathered = gathered, bytearray()
                total += len(full)
                writing = asyncio.create_task(asyncio.to_thread(write, memoryview(full)))
    finally:
        if writing is not None:
            await to_its_end(writing)
        if gathered:
            total += len(gathered)
            await to_its_end(asyncio.to_thread(write, memoryview(gathered)))
    return total
