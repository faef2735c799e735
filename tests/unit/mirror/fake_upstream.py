"""A registry elsewhere in memory, for tests of mirroring: it counts what it is asked, and fails as a test wants."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from registry.content.digest import Digest
from registry.content.local_place import LocalPlace
from registry.content.manifest_store import StoredManifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.places import OpenBlob, Referrer
from registry.content.repository import Registry, Rules
from registry.mirror.errors import MirrorError, UpstreamMisbehaved
from storage_backends.memory import MemoryBackend
from tests.images import Content, Image, Index

BLOCK = 256 * 1024


class FakeUpstream:
    """Holds what a test puts into it. With `failure` every call raises it; `go_on` holds blobs up behind their first
    block until it is set; a blob ends in `breaks` after that block; with `lies` bytes are others than they should be;
    if it is not `sized` it says no size of a blob.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.failure: MirrorError | None = None
        self.breaks: MirrorError | None = None
        self.lies = False
        self.sized = True
        self.began = asyncio.Event()
        """Set when a blob is asked for."""
        self.sizing = asyncio.Event()
        """Set when the size of a blob is asked for."""
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._place = LocalPlace(Registry(MemoryBackend(), Rules(check_references=False)))

    async def put(self, name: str, value: Image | Index | Content, *tags: str) -> Digest:
        """Hold an image with its blobs, an index with its images, or a blob; the digest under which it can be had."""
        repository = RepositoryName(name)
        if isinstance(value, Content):
            digest = Digest.parse(value.digest)
            await self._place.put_blob(repository, digest, len(value.data), _in_blocks(value.data))
            return digest
        for part in value.images if isinstance(value, Index) else value.blobs:
            await self.put(name, part)
        stored = StoredManifest(Digest.parse(value.manifest.digest), value.manifest.media_type, value.manifest.data)
        await self._place.put_manifest(repository, stored, [Tag(tag) for tag in tags])
        return stored.digest

    async def remove_tag(self, name: str, tag: str) -> None:
        """Hold a tag no longer."""
        await self._place.delete_tag(RepositoryName(name), Tag(tag))

    async def repositories(self) -> AsyncIterator[RepositoryName]:
        """See `Source`."""
        self._ask("repositories")
        async for name in self._place.repositories():
            yield name

    async def tags(self, name: RepositoryName) -> AsyncIterator[Tag]:
        """See `Source`."""
        self._ask("tags")
        async for tag in self._place.tags(name):
            yield tag

    async def resolve(self, name: RepositoryName, reference: Reference) -> Digest:
        """See `Source`."""
        self._ask("resolve")
        return await self._place.resolve(name, reference)

    async def manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
        """See `Source`."""
        self._ask("manifest")
        found = await self._place.manifest(name, reference)
        return StoredManifest(found.digest, found.media_type, found.data + b" ") if self.lies else found

    async def blob_size(self, name: RepositoryName, digest: Digest) -> int:
        """See `SizedSource`."""
        self._ask("blob size")
        self.sizing.set()
        if not self.sized:
            raise UpstreamMisbehaved("it does not say how long the blob is")
        async with self._place.blob(name, digest) as opened:
            return opened.size

    async def blob_part(self, name: RepositoryName, digest: Digest, start: int, length: int) -> bytes:
        """See `SizedSource`."""
        self._ask("blob part")
        async with self._place.blob(name, digest, start) as opened:
            part = b"".join([block async for block in opened.blocks])[:length]
        return bytes(length) if self.lies else part

    @asynccontextmanager
    async def blob(self, name: RepositoryName, digest: Digest, start: int = 0) -> AsyncIterator[OpenBlob]:
        """See `Source`."""
        self._ask("blob")
        self.began.set()
        async with self._place.blob(name, digest, start) as opened:
            data = b"".join([block async for block in opened.blocks])
            yield OpenBlob(opened.size, self._blocks(data))

    async def referrers(self, name: RepositoryName, subject: Digest) -> AsyncIterator[Referrer]:
        """See `Source`."""
        self._ask("referrers")
        async for referrer in self._place.referrers(name, subject):
            yield referrer

    async def _blocks(self, data: bytes) -> AsyncIterator[bytes]:
        if self.lies:
            data = data[:-1] + bytes([data[-1] ^ 1])
        async for block in _in_blocks(data):
            yield block
            await self.go_on.wait()
            if self.breaks is not None:
                raise self.breaks

    def _ask(self, what: str) -> None:
        self.asked[what] += 1
        if self.failure is not None:
            raise self.failure


async def _in_blocks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), BLOCK):
        yield data[start : start + BLOCK]
