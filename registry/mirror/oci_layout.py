"""An OCI image layout as a place: a `Source` over a directory or a tar.

Knows what lies in a layout, and how images are named there; not how the files are kept (`layout_files`). Layouts are
written by `bundle_writer`. Source: image-spec, image-layout.md.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from registry.content import mediatypes
from registry.content.digest import Digest
from registry.content.errors import BlobUnknown, ManifestUnknown, NameUnknown
from registry.content.manifest_store import StoredManifest
from registry.content.manifests import own_words, parse_manifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.places import OpenBlob, Referrer
from registry.mirror.archive import ArchiveInvalid
from registry.mirror.layout_files import INDEX, LAYOUT, LayoutFiles, blob_name, check_small
from registry.mirror.layout_index import LARGEST_INDEX, Named, check_version, parse_index

BLOCK = 1024 * 1024
LARGEST_MANIFEST = 16 * 1024 * 1024
_SMALL = 64 * 1024


class OciLayout:
    """A layout that is read. What is in it is part of every repository that it names."""

    def __init__(self, files: LayoutFiles, unnamed: RepositoryName | None = None) -> None:
        """Read the index. *Blocking*. `unnamed` is the repository of images whose name the layout does not give.

        Raises `ArchiveInvalid`.
        """
        self.files = files
        version, index = files.read(LAYOUT, _SMALL), files.read(INDEX, LARGEST_INDEX)
        if version is None or index is None:
            raise ArchiveInvalid(
                f"there is no {LAYOUT if version is None else INDEX} in it: this is no OCI image layout"
            )
        check_version(version)
        self.index = index
        self.images = tuple(
            one if one.name else Named(unnamed, one.reference, one.descriptor) for one in parse_index(index)
        )
        self._by_name = {(one.name, one.reference): one.descriptor for one in self.images}
        self._media_types = {one.descriptor.digest: one.descriptor.media_type for one in self.images}
        self._referrers: dict[Digest, list[tuple[RepositoryName | None, Referrer]]] | None = None

    async def repositories(self) -> AsyncIterator[RepositoryName]:
        """See `Source`."""
        for name in sorted({one.name for one in self.images if one.name}):
            yield name

    async def tags(self, name: RepositoryName) -> AsyncIterator[Tag]:
        """See `Source`."""
        if not any(one.name == name for one in self.images):
            raise NameUnknown(f"there is no repository {name} in the layout", {"name": str(name)})
        for one in self.images:
            if one.name == name and not isinstance(one.reference, Digest):
                yield one.reference

    async def resolve(self, name: RepositoryName, reference: Reference) -> Digest:
        """See `Source`."""
        if isinstance(reference, Digest):
            if self.files.blob_size(reference) is not None:
                return reference
        elif (name, reference) in self._by_name:
            return self._by_name[name, reference].digest
        raise ManifestUnknown(f"{reference} of {name} is not in the layout", {"reference": str(reference)})

    async def manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
        """See `Source`. Raises `ArchiveInvalid` for bytes with another digest."""
        return await asyncio.to_thread(self.read_manifest, await self.resolve(name, reference))

    @asynccontextmanager
    async def blob(self, name: RepositoryName, digest: Digest, start: int = 0) -> AsyncGenerator[OpenBlob, None]:
        """See `Source`."""
        size = self.files.blob_size(digest)
        if size is None:
            raise BlobUnknown(f"blob {digest} is not in the layout", {"digest": str(digest)})

        async def blocks() -> AsyncGenerator[bytes, None]:
            for place in range(start, size, BLOCK):
                yield await asyncio.to_thread(self.files.read_blob, digest, place, min(BLOCK, size - place))

        yield OpenBlob(size, blocks())

    async def referrers(self, name: RepositoryName, subject: Digest) -> AsyncIterator[Referrer]:
        """See `Source`: all that the index lists and whose subject it is."""
        if self._referrers is None:
            self._referrers = await asyncio.to_thread(self._find_referrers)
        for repository, referrer in self._referrers.get(subject, ()):
            if repository in {None, name}:
                yield referrer

    def read_manifest(self, digest: Digest) -> StoredManifest:
        """A manifest that is there, checked. *Blocking*. Raises `ArchiveInvalid`, `ManifestUnknown`."""
        size = self.files.blob_size(digest)
        if size is None:
            raise ManifestUnknown(f"manifest {digest} is not in the layout", {"digest": str(digest)})
        check_small(f"the manifest {blob_name(digest)}", size, LARGEST_MANIFEST)
        data = self.files.read_blob(digest, 0, size)
        if Digest.of(data, digest.algorithm) != digest:
            raise ArchiveInvalid(f"{blob_name(digest)} has other bytes than its name says")
        media_type = self._media_types.get(digest) or own_words(data).media_type
        return StoredManifest(digest, media_type or mediatypes.OCI_MANIFEST, data)

    def _find_referrers(self) -> dict[Digest, list[tuple[RepositoryName | None, Referrer]]]:
        found: dict[Digest, list[tuple[RepositoryName | None, Referrer]]] = {}
        for one in self.images:
            if (
                one.descriptor.media_type not in mediatypes.MANIFESTS
                or self.files.blob_size(one.descriptor.digest) is None
            ):
                continue
            stored = self.read_manifest(one.descriptor.digest)
            manifest = parse_manifest(stored.data, stored.media_type)
            if manifest.subject is not None:
                referrer = Referrer(
                    stored.media_type, stored.digest, len(stored.data), manifest.artifact_type, manifest.annotations
                )
                found.setdefault(manifest.subject.digest, []).append((one.name, referrer))
        return found
