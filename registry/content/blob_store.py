"""Blobs of a repository: which ones it has, and their bytes. Truth on storage; holds no state.

A repository has a blob if its link is whole (of the length that a link to that digest has: a crash of an older registry
can leave an empty one) and the bytes are there. Both are asked of the storage each time.
"""

import secrets
from contextlib import aclosing, closing
from dataclasses import dataclass

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.errors import BlobUnknown
from registry.content.leases import Leases
from registry.content.names import RepositoryName
from registry.content.walk import is_there, stat_if_there
from storage_backends.base import ObjectInfo, StorageBackend
from storage_backends.errors import NotFound
from storage_backends.sendable import Sendable, blocks_of


@dataclass(frozen=True, slots=True)
class BlobStore:
    """Blobs by repository and digest."""

    backend: StorageBackend
    leases: Leases

    async def is_linked(self, name: RepositoryName, digest: Digest) -> bool:
        """True if the repository's link to the blob is there and whole."""
        return await self._link(name, digest) is not None

    async def size(self, name: RepositoryName, digest: Digest, *, renew: bool = False) -> int:
        """The blob's size in bytes. Raises `BlobUnknown`. With `renew` the blob stays for whoever uses it now."""
        link = await self._link(name, digest)
        if link is not None:
            if renew and await self.leases.renew(link, digest) and not await self.is_linked(name, digest):
                raise _unknown(name, digest)
            try:
                return (await self.backend.stat(keyspace.blob(digest))).size
            except NotFound:
                pass
        raise _unknown(name, digest)

    async def has(self, name: RepositoryName, digest: Digest) -> bool:
        """True if the repository has the blob, link and bytes."""
        try:
            await self.size(name, digest)
        except BlobUnknown:
            return False
        return True

    async def open(self, name: RepositoryName, digest: Digest, start: int = 0, length: int | None = None) -> Sendable:
        """The blob's bytes, or `length` of them from `start`. Raises `BlobUnknown`."""
        if await self.is_linked(name, digest):
            try:
                return await self.backend.open_read(keyspace.blob(digest), start, length)
            except NotFound:
                pass
        raise _unknown(name, digest)

    async def presign(self, name: RepositoryName, digest: Digest) -> str | None:
        """A URL under which whoever has it gets the blob for a while, which is there in repository `name`; None if this
        storage has no such thing.
        """
        return await self.backend.presign(keyspace.blob(digest), "application/octet-stream")

    async def has_bytes(self, digest: Digest) -> bool:
        """True if the registry holds the bytes, in whatever repository."""
        return await is_there(self.backend, keyspace.blob(digest))

    async def sample(self, digest: Digest, most: int) -> tuple[int, bytes]:
        """At most so many bytes from anywhere in a blob, and where they begin; none if no repository has any. To be
        compared with what somebody says is the blob, and never to be handed out.
        """
        try:
            size = (await self.backend.stat(keyspace.blob(digest))).size
            start = secrets.randbelow(max(size - most, 0) + 1)
            opened = await self.backend.open_read(keyspace.blob(digest), start, min(most, size))
        except NotFound:
            return 0, b""
        with closing(opened):
            async with aclosing(blocks_of(opened)) as blocks:
                return start, b"".join([block async for block in blocks])

    async def link(self, name: RepositoryName, digest: Digest) -> None:
        """Make the blob part of the repository; durable on return. If its bytes are there then, they stay."""
        await self.leases.link(keyspace.layer_link(name, digest), digest)

    async def unlink(self, name: RepositoryName, digest: Digest) -> None:
        """Take the blob out of the repository; the bytes stay, others may have it too. Raises `BlobUnknown`."""
        await self.size(name, digest)
        await self.backend.delete(keyspace.layer_link(name, digest))

    async def _link(self, name: RepositoryName, digest: Digest) -> ObjectInfo | None:
        link = await stat_if_there(self.backend, keyspace.layer_link(name, digest))
        return link if link is not None and link.size == len(digest.algorithm) + 1 + len(digest.encoded) else None


def _unknown(name: RepositoryName, digest: Digest) -> BlobUnknown:
    return BlobUnknown(f"blob {digest} is not in repository {name}", {"digest": str(digest)})
