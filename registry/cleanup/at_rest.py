"""Bytes as they lie on the storage now: the digest that they really have. Reads only.

The kernel may still hold in memory what the disk has lost, so it is told to forget a file before that is read; and
afterwards, so that reading everything once does not push out what clients pull.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from registry.content.digest import Digest, Hasher
from registry.content.verifying import take
from storage_backends.base import StorageBackend
from storage_backends.sendable import FileRegion, Sendable, blocks_of

Took = Callable[[int], Awaitable[None]]
"""Is told after each block how many bytes it had, and may take its time."""


async def digest_at_rest(backend: StorageBackend, key: str, algorithm: str, took: Took) -> Digest:
    """The digest of an object's bytes. Raises `NotFound`, `StorageError`, and `OSError` where a disk gives none."""
    hasher = Hasher(algorithm)
    opened = await backend.open_read(key)
    try:
        _forget(opened)
        async with aclosing(blocks_of(opened)) as blocks:
            async for block in blocks:
                await take(hasher, block)
                _forget(opened, hasher.offset - len(block), len(block))
                await took(len(block))
    finally:
        opened.close()
    return hasher.digest()


def _forget(opened: Sendable, start: int = 0, length: int = 0) -> None:
    if isinstance(opened, FileRegion):
        os.posix_fadvise(opened.fd, start, length, os.POSIX_FADV_DONTNEED)
