"""Takes the inventory of a place: what its images consist of, as the hashes of an inventory (`bundle_base`).

Tags with the manifests that they name, further manifests of each repository, and layers are in it; configs are not: an
image whose config is there and whose manifest is not is rare, and a config small. An image that has lost one of its
blobs is not in it either, so that the next bundle heals it.
"""

from collections.abc import AsyncIterator
from contextlib import suppress

from registry.content import mediatypes
from registry.content.digest import Digest
from registry.content.errors import ContentCorrupt, ManifestInvalid, ManifestUnknown, NameUnknown
from registry.content.manifests import parse_manifest
from registry.content.names import Reference, RepositoryName
from registry.content.places import Source, Target
from registry.mirror.bundle_base import content_hash, image_hash


class InventoryTaker:
    """Goes through all repositories of a place. `hashes` grows; `images` counts tags."""

    def __init__(self, source: Source, target: Target, prefix: str) -> None:
        """`source` and `target` are the same place. Names in the inventory are without `prefix`; of images that are
        not below it only their content counts.
        """
        self.hashes: set[int] = set()
        self.images = 0
        self._source = source
        self._target = target
        self._prefix = prefix

    async def run(self) -> AsyncIterator[RepositoryName]:
        """Take the inventory; each repository comes out when it is done."""
        async for name in self._source.repositories():
            with suppress(NameUnknown):  # it has no tags, or none any more
                await self._take_repository(name)
            yield name

    async def _take_repository(self, name: RepositoryName) -> None:
        seen: dict[Digest, bool] = {}
        async for tag in self._source.tags(name):
            try:
                digest = await self._source.resolve(name, tag)
                whole = await self._take(name, digest, seen)
            except ManifestUnknown:
                continue  # deleted meanwhile
            self.images += 1
            if whole:
                self._note(name, tag, digest)

    def _note(self, name: RepositoryName, reference: Reference, digest: Digest) -> None:
        """Enter what a reference of a repository names."""
        if name.startswith(self._prefix):
            self.hashes.add(image_hash(RepositoryName(name.removeprefix(self._prefix)), reference, digest))

    async def _take(self, name: RepositoryName, digest: Digest, seen: dict[Digest, bool]) -> bool:
        """A manifest with all that it needs and that refers to it; False if it cannot be read, or needs a blob that is
        not there: a bundle is to bring it then. Images that an index lacks were left out on purpose. Raises
        `ManifestUnknown`.
        """
        if digest not in seen:
            seen[digest] = True  # for what refers to it, and lists it
            whole = False
            try:
                whole = await self._take_parts(name, digest, seen)
            except (ContentCorrupt, ManifestInvalid):
                pass  # it has rotted, or is of a kind that no bundle brings
            finally:
                seen[digest] = whole
        return seen[digest]

    async def _take_parts(self, name: RepositoryName, digest: Digest, seen: dict[Digest, bool]) -> bool:
        stored = await self._source.manifest(name, digest)
        manifest = parse_manifest(stored.data, stored.media_type)
        whole = True
        for blob in manifest.blobs:
            if not await self._target.has_blob(name, blob.digest):
                whole = whole and blob.foreign
            elif blob is not manifest.config:
                self.hashes.add(content_hash(blob.digest))
        for child in manifest.manifests:
            if child.media_type in mediatypes.MANIFESTS and await self._target.has_manifest(name, child.digest):
                whole = await self._take_part(name, child.digest, seen) and whole
        async for referrer in self._source.referrers(name, digest):
            await self._take_part(name, referrer.digest, seen)
        return whole

    async def _take_part(self, name: RepositoryName, digest: Digest, seen: dict[Digest, bool]) -> bool:
        """As `_take`, of a manifest that no tag need name."""
        whole = await self._take(name, digest, seen)
        if whole:
            self._note(name, digest, digest)
        return whole
