"""Checks bytes on their way: as many as were announced, and those that their digest names. Knows no place."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from registry.content.digest import Digest, Hasher
from registry.content.errors import DigestInvalid, SizeInvalid

_SMALL = 64 * 1024
"""What is hashed sooner than a thread is entered."""


async def exactly(size: int, blocks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The blocks, if they have `size` bytes together. Raises `SizeInvalid` with the block that is too much, or at the
    end.
    """
    total = 0
    async for block in blocks:
        total += len(block)
        if total > size:
            raise SizeInvalid(f"the blob has more than {size} bytes")
        yield block
    if total != size:
        raise SizeInvalid(f"the blob has {total} bytes instead of {size}")


async def take(hasher: Hasher, block: bytes) -> None:
    """Hash the next block; off the event loop, unless it is small."""
    if len(block) > _SMALL:
        await asyncio.to_thread(hasher.update, memoryview(block))
    else:
        hasher.update(memoryview(block))


async def verified(digest: Digest, size: int, blocks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The blocks, if they have the digest and size. Raises `SizeInvalid`, and `DigestInvalid` *before* the last block:
    whoever got all of them got the right ones.
    """
    hasher = Hasher(digest.algorithm)
    held: bytes | None = None
    async for block in exactly(size, blocks):
        if held is not None:
            yield held
        await take(hasher, block)
        held = block
    if hasher.digest() != digest:
        raise DigestInvalid(f"the bytes of {digest} have the digest {hasher.digest()}", {"digest": str(digest)})
    if held is not None:
        yield held
