"""A blob that is still coming in: who reads it gets the bytes as they come, and is cut off if they turn out wrong.

Knows an open file that grows; must not know where the bytes come from. Any number of readers, each at its own pace;
none of them holds more than a block in memory. The last bytes are held back until somebody says that the whole is
right, so that a blob which is not never looks whole.
"""

import asyncio
import os
from collections.abc import AsyncGenerator

from registry.content.errors import PlaceUnavailable
from storage_backends.sendable import ByteStream

_BLOCK = 256 * 1024
_HELD_BACK = 64 * 1024


class GrowingBlob:
    """A blob of `size` bytes of which the file `fd` holds a beginning. The descriptor is this object's own."""

    def __init__(self, size: int, fd: int) -> None:
        self.size = size
        self.arrived = 0
        self._fd = fd
        self._is_right = False
        self._failure: Exception | None = None
        self._changed = asyncio.Event()

    def advance(self, arrived: int) -> None:
        """So many bytes lie in the file now."""
        if arrived != self.arrived:
            self.arrived = arrived
            self._wake()

    def finish(self) -> None:
        """All bytes are there, and are the right ones."""
        self._is_right, self.arrived = True, self.size
        self._wake()

    def fail(self, error: Exception) -> None:
        """No more bytes come."""
        self._failure = error
        self._wake()

    def written(self) -> int:
        """How many bytes the file holds, whoever writes to it."""
        return os.fstat(self._fd).st_size

    def is_of(self, fd: int) -> bool:
        """True if `fd` is the same file."""
        return os.path.sameopenfile(self._fd, fd)

    @property
    def is_closed(self) -> bool:
        """True if nobody can begin to read any more."""
        return self._fd < 0

    def close(self) -> None:
        """Let go of the file. Who reads it has it open for itself."""
        fd, self._fd = self._fd, -1
        os.close(fd)

    async def whole(self) -> None:
        """Wait for the end. Raises what the blob has failed with."""
        while not self._is_right:
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            await self._changed.wait()

    def read(self, start: int, length: int | None) -> ByteStream:
        """The bytes from `start`, `length` of them (all that follow if None), as they come."""
        count = self.size - start if length is None else length
        fd = os.dup(self._fd)
        return ByteStream(self._blocks(fd, start, start + count), count, self.size, _Closing(fd).close)

    async def _blocks(self, fd: int, offset: int, end: int) -> AsyncGenerator[bytes, None]:
        while offset < end:
            limit = min(await self._beyond(offset), end)
            block = await _read(fd, min(_BLOCK, limit - offset), offset)
            if not block:
                raise PlaceUnavailable("what was fetched is gone before it could be sent; try again")
            offset += len(block)
            yield block

    async def _beyond(self, offset: int) -> int:
        """Up to where bytes can be sent, which is beyond `offset`. Raises what the blob has failed with."""
        while True:
            limit = self.size if self._is_right else min(self.arrived, self.size - _HELD_BACK)
            if limit > offset:
                return limit
            if self._failure is not None:
                raise self._failure.with_traceback(None)  # which grows with each who is told
            if self._is_right:
                raise PlaceUnavailable(f"the blob ends at byte {self.size}, before what was asked for")
            await self._changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


async def _read(fd: int, count: int, offset: int) -> bytes:
    """Up to `count` bytes. In a thread if they have to come from the disk, which what was just written hardly ever has
    to; otherwise a thread costs more than reading.
    """
    buffer = bytearray(count)
    try:
        found = os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
    except OSError:  # not in memory, or a filesystem that cannot tell
        return await asyncio.to_thread(os.pread, fd, count, offset)
    return bytes(memoryview(buffer)[:found])


class _Closing:
    """Closes a descriptor once."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
