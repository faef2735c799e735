"""What a repository has: every manifest with its tags, its time, and what it names. Reads only."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from registry.cleanup import repositories
from registry.content import keyspace
from registry.content.descriptors import Descriptor
from registry.content.digest import Digest
from registry.content.errors import ManifestInvalid
from registry.content.manifests import Manifest, own_words, parse_manifest
from registry.content.names import is_tag
from registry.content.side_by_side import batches, side_by_side
from storage_backends.base import StorageBackend
from storage_backends.errors import NotFound

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest of a repository. `manifest` is None if it cannot be read; `pushed` in seconds since the epoch; `size`
    is that of the manifest's own bytes.
    """

    repository: str
    digest: Digest
    size: int
    pushed: float
    tags: tuple[str, ...] = ()
    manifest: Manifest | None = None

    @property
    def children(self) -> Sequence[Descriptor]:
        """Of an index, what it holds."""
        return self.manifest.manifests if self.manifest else ()

    @property
    def blobs(self) -> Sequence[Descriptor]:
        """Config and layers."""
        return self.manifest.blobs if self.manifest else ()

    @property
    def subject(self) -> Digest | None:
        """What it refers to."""
        return self.manifest.subject.digest if self.manifest and self.manifest.subject else None


@dataclass(frozen=True, slots=True)
class Inventory:
    """All images of one repository, by digest."""

    name: str
    images: Mapping[Digest, Image] = field(default_factory=dict)

    def needed_by(self, roots: Sequence[Digest]) -> set[Digest]:
        """The roots and whatever they need here: children, what they refer to, and what refers to any of these."""
        referrers: dict[Digest, list[Digest]] = defaultdict(list)
        for referrer in self.images.values():
            if referrer.subject is not None:
                referrers[referrer.subject].append(referrer.digest)
        found: set[Digest] = set()
        waiting = list(roots)
        while waiting:
            digest = waiting.pop()
            image = self.images.get(digest)
            if image is None or digest in found:
                continue
            found.add(digest)
            waiting += [child.digest for child in image.children]
            waiting += referrers[digest]
            if image.subject is not None:
                waiting.append(image.subject)
        return found


async def read(backend: StorageBackend, name: str) -> Inventory:
    """The inventory of a repository; an empty one if there is none."""
    tags: dict[Digest, list[str]] = defaultdict(list)
    async for tag, digest in _tags(backend, name):
        tags[digest].append(tag)

    async def image(entry: repositories.Entry) -> Image | None:
        if entry.digest is None:
            return None
        try:
            pushed = (await backend.stat(entry.key)).modified
        except NotFound:
            return None  # deleted meanwhile
        manifest, size = await _manifest(backend, name, entry.digest)
        return Image(name, entry.digest, size, pushed, tuple(tags.get(entry.digest, ())), manifest)

    images: dict[Digest, Image] = {}
    entries = repositories.by_digest(backend, keyspace.revisions(name), "/link")
    async for batch in batches(backend, entries, _BATCH):
        images |= {found.digest: found for found in await side_by_side(backend, image, batch) if found is not None}
    return Inventory(name, images)


async def labels(backend: StorageBackend, image: Image) -> Mapping[str, str]:
    """The labels of an image's config, and the annotations of its manifest; of an index, the annotations."""
    if image.manifest is None:
        return {}
    found = dict(image.manifest.annotations)
    if image.manifest.config is not None:
        try:
            document = json.loads((await backend.get(keyspace.blob(image.manifest.config.digest))).data)
            own = document["config"]["Labels"] or {}
            found |= {str(key): str(value) for key, value in own.items()}
        except (NotFound, ValueError, LookupError, TypeError, AttributeError):
            pass  # an artifact, whose config may be anything
    return found


async def _tags(backend: StorageBackend, name: str) -> AsyncIterator[tuple[str, Digest]]:
    async def named(tag: str) -> tuple[str, Digest | None]:
        key = f"{keyspace.manifests(name)}tags/{tag}/current/link"
        try:
            return tag, repositories.parsed((await backend.get(key)).data.decode("ascii", "replace"))
        except NotFound:
            return tag, None

    names = repositories.children(backend, keyspace.tags(name))
    async for batch in batches(backend, names, _BATCH):
        for tag, digest in await side_by_side(backend, named, [tag for tag in batch if is_tag(tag)]):
            if digest is not None:
                yield tag, digest


async def _manifest(backend: StorageBackend, name: str, digest: Digest) -> tuple[Manifest | None, int]:
    try:
        data = (await backend.get(keyspace.blob(digest))).data
    except NotFound:
        return None, 0
    media_type = own_words(data).media_type
    with suppress(NotFound):
        media_type = (await backend.get(keyspace.media_type(name, digest))).data.decode("ascii", "replace")
    try:
        return parse_manifest(data, media_type), len(data)
    except ManifestInvalid:
        return None, len(data)
