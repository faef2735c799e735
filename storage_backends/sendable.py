"""What a read gives: something that a server can send without the bytes climbing through the layers.

Knows nothing of HTTP. A `Sendable` is owned by whoever holds it and must be closed once, sent or not.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

_BLOCK = 256 * 1024


@dataclass(slots=True)
class FileRegion:
    """`length` bytes from `offset` of an open file; `size` is the whole object's size, all in bytes.

    The descriptor `fd` is this object's own and is closed by `close`.
    """

    fd: int
    offset: int
    length: int
    size: int

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)


def _nothing() -> None:
    return


@dataclass(slots=True)
class ByteStream:
    """`length` bytes out of an object of `size` bytes, as an iterator of blocks; `release` frees what that holds."""

    blocks: AsyncGenerator[bytes, None]
    length: int
    size: int
    release: Callable[[], None] = _nothing

    def close(self) -> None:
        """Free what is held; calling it again does nothing."""
        self.release()


Sendable = FileRegion | ByteStream


async def blocks_of(sendable: Sendable) -> AsyncGenerator[bytes, None]:
    """Its bytes, block by block, read off the event loop; fewer than `length` if the file has become shorter.

    Does not close it.
    """
    if not isinstance(sendable, FileRegion):
        async with aclosing(sendable.blocks) as blocks:
            async for block in blocks:
                yield block
        return
    offset, end = sendable.offset, sendable.offset + sendable.length
    while offset < end:
        block = await asyncio.to_thread(os.pread, sendable.fd, min(_BLOCK, end - offset), offset)
        if not block:
            return
        offset += len(block)
        yield block
