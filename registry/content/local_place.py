"""Our own storage as a place to copy images from and to: a `Source` and a `Target` over the domain.

Knows the registry's rules by calling them, and nothing of where else images come from. Whoever holds a `LocalPlace` may
see and change everything: rights are asked for before it, not in it.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager

from registry.content.bodies import Write, pour
from registry.content.digest import Digest
from registry.content.errors import BlobUnknown, ContentCorrupt, ManifestUnknown
from registry.content.manifest_store import StoredManifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.places import OpenBlob, Referrer
from registry.content.repository import Registry
from registry.content.verifying import exactly
from storage_backends.sendable import blocks_of

_PAGE = 500


class LocalPlace:
    """All repositories of a registry of ours. Reading a manifest does not count as a pull."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def repositories(self) -> AsyncIterator[RepositoryName]:
        """See `Source`."""
        after, more = "", True
        while more:
            page = await self._registry.repositories(after, _PAGE)
            for text in page.names:
                yield RepositoryName(text)
            more, after = page.more, page.names[-1] if page.names else ""

    async def tags(self, name: RepositoryName) -> AsyncIterator[Tag]:
        """See `Source`."""
        after, more = "", True
        while more:
            page = await self._registry.tags(name, after, _PAGE)
            for text in page.names:
                yield Tag(text)
            more, after = page.more and bool(page.names), page.names[-1] if page.names else ""

    async def resolve(self, name: RepositoryName, reference: Reference) -> Digest:
        """See `Source`."""
        return await self._registry.resolve(name, reference)

    async def manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
        """See `Source`."""
        return await self._registry.get_manifest(name, reference, is_pull=False)

    @asynccontextmanager
    async def blob(self, name: RepositoryName, digest: Digest, start: int = 0) -> AsyncGenerator[OpenBlob, None]:
        """See `Source`; blocks are read off the event loop."""
        opened = await self._registry.blobs.open(name, digest, start)
        try:
            async with aclosing(blocks_of(opened)) as blocks:
                yield OpenBlob(opened.size, blocks)
        finally:
            opened.close()

    async def referrers(self, name: RepositoryName, subject: Digest) -> AsyncIterator[Referrer]:
        """See `Source`."""
        after: str | None = ""
        while after is not None:
            page = await self._registry.referrers(name, subject, None, after, _PAGE)
            for entry in page.descriptors:
                yield _referrer(entry)
            after = page.last

    async def has_manifest(self, name: RepositoryName, digest: Digest, subject: Digest | None = None) -> bool:
        """See `Target`. One whose bytes have rotted is not there: it is to be brought again."""
        try:
            await self._registry.get_manifest(name, digest, is_pull=False)
        except (ContentCorrupt, ManifestUnknown):
            return False
        return True

    async def has_blob(self, name: RepositoryName, digest: Digest) -> bool:
        """See `Target`."""
        try:
            await self._registry.blobs.size(name, digest, renew=True)
        except BlobUnknown:
            return False
        return True

    async def mount(self, name: RepositoryName, digest: Digest, source: RepositoryName) -> bool:
        """See `Target`."""
        return await self._registry.mount(name, digest, source)

    async def has_anywhere(self, digest: Digest) -> bool:
        """True if any repository has the blob, or had it not long ago."""
        return await self._registry.blobs.has_bytes(digest)

    async def mount_from_anywhere(self, name: RepositoryName, digest: Digest) -> bool:
        """As `mount`, from whatever repository has the blob."""
        return await self._registry.mount(name, digest, None)

    async def put_blob(self, name: RepositoryName, digest: Digest, size: int, blocks: AsyncIterator[bytes]) -> None:
        """See `Target`; holds 512 KiB of the blob, and the block that has just come."""
        await self._registry.uploads.push(name, digest, _Blocks(blocks, size))

    async def put_manifest(self, name: RepositoryName, manifest: StoredManifest, tags: Sequence[Tag] = ()) -> None:
        """See `Target`. Raises `ManifestInvalid`, `ReferencesUnknown`, `TagImmutable` besides."""
        await self._registry.put_manifest(name, manifest.digest, manifest.data, manifest.media_type, tags)

    async def delete_manifest(self, name: RepositoryName, digest: Digest) -> None:
        """See `Removable`."""
        await self._registry.delete_manifest(name, digest)

    async def delete_tag(self, name: RepositoryName, tag: Tag) -> None:
        """See `Removable`."""
        await self._registry.delete_tag(name, tag)


class _Blocks:
    """Blocks that come from elsewhere, as the body of an upload of `size` bytes."""

    def __init__(self, blocks: AsyncIterator[bytes], size: int) -> None:
        self._blocks = blocks
        self._size = size

    async def pump(self, write: Write) -> int:
        """See `Body`. Raises `SizeInvalid` as soon as there is more, or at an end that comes too early."""
        return await pour(exactly(self._size, self._blocks), write)


def _referrer(entry: Mapping[str, object]) -> Referrer:
    """A descriptor of the referrers index, which our own code has made."""
    artifact_type, annotations, size = (entry.get(key) for key in ("artifactType", "annotations", "size"))
    return Referrer(
        str(entry["mediaType"]),
        Digest.parse(str(entry["digest"])),
        size if isinstance(size, int) else 0,
        artifact_type if isinstance(artifact_type, str) else None,
        {str(key): str(value) for key, value in annotations.items()} if isinstance(annotations, dict) else {},
    )
