"""What a registry's images take, seen from outside: as far as tags reach, by what manifests say of their blobs."""

from collections.abc import AsyncIterator

from registry.browse.side_by_side import in_order
from registry.browse.usage import Usage
from registry.content import mediatypes
from registry.content.digest import Digest
from registry.content.errors import ManifestInvalid, ManifestUnknown, NameUnknown
from registry.content.manifests import parse_manifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.places import Source

_DEEPEST = 16


class PlaceUsage:
    """One look at all repositories that we may see."""

    def __init__(self, source: Source) -> None:
        self.usage = Usage()
        self._source = source

    async def run(self) -> AsyncIterator[str]:
        """Look; yields now and then which repository it is at. Raises what the place raises."""
        async for name in self._source.repositories():
            yield name
            async for _ in self._repository(name):
                yield name

    async def _repository(self, name: RepositoryName) -> AsyncIterator[None]:
        tags = 0
        blobs: dict[Digest, tuple[int, bool]] = {}
        images: set[Digest] = set()

        async def look(tag: Tag) -> None:
            await self._image(name, tag, blobs, images)

        try:
            async for _ in in_order(look, self._source.tags(name)):
                tags += 1
                yield
        except NameUnknown:
            return  # gone meanwhile, or none that has tags
        self.usage.add(name, tags, len(images), blobs)

    async def _image(
        self,
        name: RepositoryName,
        reference: Reference,
        blobs: dict[Digest, tuple[int, bool]],
        images: set[Digest],
        depth: int = 0,
    ) -> None:
        try:
            stored = await self._source.manifest(name, reference)
            manifest = parse_manifest(stored.data, stored.media_type)
        except (ManifestUnknown, ManifestInvalid):
            return  # gone meanwhile; or of a kind that names nothing which we know
        if stored.digest in images:
            return
        images.add(stored.digest)
        blobs[stored.digest] = (len(stored.data), True)
        children = [child for child in manifest.manifests if child.media_type in mediatypes.MANIFESTS]
        for blob in (*manifest.blobs, *(child for child in manifest.manifests if child not in children)):
            if not blob.foreign:
                blobs[blob.digest] = (blob.size, True)
        if depth < _DEEPEST:
            for child in children:
                if child.digest not in images:
                    await self._image(name, child.digest, blobs, images, depth + 1)
