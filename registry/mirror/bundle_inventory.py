"""Takes the inventory of a place: what its images consist of, as the hashes of an inventory (`bundle_base`).

Tags with the manifests that they name, further manifests, and layers are in it; configs are not: an image whose config
is there and whose manifest is not is rare, and a config small.
"""

from collections.abc import AsyncIterator

from registry.content import mediatypes
from registry.content.digest import Digest
from registry.content.errors import ManifestUnknown
from registry.content.manifests import parse_manifest
from registry.content.names import RepositoryName
from registry.content.places import Source, Target
from registry.mirror.bundle_base import content_hash, image_hash


class InventoryTaker:
    """Goes through all repositories of a place. `hashes` grows; `images` counts tags."""

    def __init__(self, source: Source, target: Target, prefix: str) -> None:
        """`source` and `target` are the same place. Names in the inventory are without `prefix`."""
        self.hashes: set[int] = set()
        self.images = 0
        self._source = source
        self._target = target
        self._prefix = prefix

    async def run(self) -> AsyncIterator[RepositoryName]:
        """Take the inventory; each repository comes out when it is done."""
        async for name in self._source.repositories():
            seen: set[Digest] = set()
            async for tag in self._source.tags(name):
                try:
                    digest = await self._source.resolve(name, tag)
                    await self._take(name, digest, seen, is_top=True)
                except ManifestUnknown:
                    continue  # deleted meanwhile
                self.images += 1
                self.hashes.add(image_hash(RepositoryName(name.removeprefix(self._prefix)), tag, digest))
            yield name

    async def _take(self, name: RepositoryName, digest: Digest, seen: set[Digest], *, is_top: bool = False) -> None:
        """A manifest with all that it needs and that refers to it. Raises `ManifestUnknown`."""
        stored = await self._source.manifest(name, digest)
        if not is_top:
            self.hashes.add(content_hash(digest))
        if digest in seen:
            return
        seen.add(digest)
        manifest = parse_manifest(stored.data, stored.media_type)
        for blob in manifest.blobs:
            if blob is not manifest.config and await self._target.has_blob(name, blob.digest):
                self.hashes.add(content_hash(blob.digest))
        for child in manifest.manifests:
            if child.media_type in mediatypes.MANIFESTS and await self._target.has_manifest(name, child.digest):
                await self._take(name, child.digest, seen)
        async for referrer in self._source.referrers(name, digest):
            await self._take(name, referrer.digest, seen)
