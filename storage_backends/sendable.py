"""What a read gives: something that a server can send without the bytes climbing through the layers.

Knows nothing of HTTP. A `Sendable` is owned by whoever holds it and must be closed once, sent or not.
"""

import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass


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
