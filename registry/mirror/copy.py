"""The engine that copies images from one place to another: mirrors, bundles and pushes to other registries use it.

Knows the two protocols of `content.places`, manifests and platforms. Must not know what kind of place either is.

The order is the safety: blobs, children, the manifest, its referrers, tags last. A copy that is stopped anywhere shows
no tag whose content is missing, and the next one goes on from there, for what the target has is left alone. Manifests
are compared with their digests here; the bytes of a blob by the target, while they stream. Nothing is held in memory
but the manifests on the way from an image down to the blobs that are being copied.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from registry.content import mediatypes
from registry.content.descriptors import Descriptor
from registry.content.digest import Digest
from registry.content.errors import (
    BlobUnknown,
    ContentCorrupt,
    ContentError,
    ManifestInvalid,
    ManifestUnknown,
    SizeInvalid,
)
from registry.content.manifest_store import StoredManifest
from registry.content.manifests import parse_manifest
from registry.content.names import Reference, RepositoryName, Tag, cosign_tags
from registry.content.places import Source, Target
from registry.content.side_by_side import all_of
from registry.mirror.errors import MirrorError, RateLimited, UpstreamUnavailable
from registry.mirror.platforms import Platform, chosen
from registry.mirror.progress import (
    BlobDone,
    BlobsFound,
    Event,
    How,
    ImageBegun,
    ImageDone,
    ImageFailed,
    ManifestDone,
    Moved,
    Report,
    Tally,
    Wanted,
)
from storage_backends.errors import StorageError

_DEEPEST = 16
"""Indexes in indexes, and referrers of referrers: nobody goes further, and whoever does means harm."""
_MOST_MANIFESTS = 20_000
"""Of one image, with its referrers."""
_REMEMBERED = 65_536
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Options:
    """How to copy: `platforms` of an index (none: all), what refers to an image and signs it, how much at a time.

    `sparse`: of an index that is not whole at the source, copy what is there; else it fails.
    """

    platforms: tuple[Platform, ...] = ()
    referrers: bool = True
    sparse: bool = False
    jobs: int = 4
    dry_run: bool = False


@dataclass(slots=True)
class _Walk:
    """One image on its way: the manifests that it has met, and how many bytes were copied for it."""

    image: Wanted
    seen: set[Digest] = field(default_factory=set)
    size: int = 0


class Copying:
    """One copy from `source` to `target`; `report` hears of each step."""

    def __init__(self, source: Source, target: Target, options: Options, report: Report = lambda event: None) -> None:
        self.tally = Tally()
        self._source = source
        self._target = target
        self._options = options
        self._report = report
        self._slots = asyncio.Semaphore(options.jobs)
        self._locks: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()
        self._holders: OrderedDict[Digest, RepositoryName] = OrderedDict()

    async def run(self, images: AsyncIterator[Wanted]) -> Tally:
        """Copy all images, `jobs` at a time; those that fail stand in the tally and do not stop the others.

        Raises what reading `images` raises; images that have begun are dropped where they are then.
        """
        turn = asyncio.Lock()

        async def work() -> None:
            while True:
                async with turn:
                    image = await anext(images, None)
                if image is None:
                    return
                await self._copy(image)

        await all_of([work() for _ in range(self._options.jobs)])
        return self.tally

    async def _copy(self, image: Wanted) -> None:
        self._say(ImageBegun(image))
        try:
            walk = _Walk(image)
            stored = await self._manifest(image.source, image.reference)
            await self._graph(walk, stored)
            if image.tags and not self._options.dry_run:
                await self._target.put_manifest(image.target, stored, image.tags)
        except (ContentError, MirrorError, StorageError) as error:
            self._say(ImageFailed(image, str(error)))
        else:
            self._say(ImageDone(image, stored.digest, walk.size))

    async def _graph(self, walk: _Walk, stored: StoredManifest, depth: int = 0) -> None:
        """Bring a manifest, first what it needs, then what refers to it."""
        if stored.digest in walk.seen:
            return
        walk.seen.add(stored.digest)
        if depth > _DEEPEST or len(walk.seen) > _MOST_MANIFESTS:
            raise ManifestInvalid(f"{walk.image} has manifests in manifests without end; it is not copied any further")
        manifest = parse_manifest(stored.data, stored.media_type)
        children = chosen(stored.data, manifest.manifests, self._options.platforms)
        await self._blobs(walk, [*manifest.blobs, *(child for child in children if not _is_manifest(child))])
        await self._children(walk, [child for child in children if _is_manifest(child)], depth + 1)
        await self._put(walk, stored, manifest.subject)
        if self._options.referrers:
            await self._referrers(walk, stored.digest, depth + 1)

    async def _children(self, walk: _Walk, children: Sequence[Descriptor], depth: int) -> None:
        missing: list[Descriptor] = []
        for child in children:
            try:
                stored = await self._manifest(walk.image.source, child.digest)
            except ManifestUnknown:
                missing.append(child)
                if not self._options.sparse or len(missing) == len(children):
                    raise
            else:
                await self._graph(walk, stored, depth)

    async def _manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
        stored = await self._source.manifest(name, reference)
        wanted = reference if isinstance(reference, Digest) else stored.digest
        found = Digest.of(stored.data, wanted.algorithm)
        if found != wanted or stored.digest != wanted:
            raise ContentCorrupt(f"the source gave a manifest with the digest {found} for {wanted} of {name}")
        return stored

    async def _put(self, walk: _Walk, stored: StoredManifest, subject: Descriptor | None) -> None:
        how: How = "there"
        if not await self._target.has_manifest(walk.image.target, stored.digest, subject.digest if subject else None):
            how = "copied"
            if not self._options.dry_run:
                await self._target.put_manifest(walk.image.target, stored)
        walk.size += len(stored.data) if how == "copied" else 0
        self._say(ManifestDone(stored.digest, len(stored.data), how))

    async def _referrers(self, walk: _Walk, subject: Digest, depth: int) -> None:
        """What refers to a manifest by its subject, and cosign's signatures by their tags."""
        name = walk.image.source
        async for referrer in self._source.referrers(name, subject):
            if referrer.digest not in walk.seen:
                await self._graph(walk, await self._manifest(name, referrer.digest), depth)
        tags = cosign_tags(subject)
        for tag, digest in zip(tags, await all_of([self._look_up(name, tag) for tag in tags]), strict=True):
            if digest is None:
                continue
            stored = await self._manifest(name, digest)
            await self._graph(walk, stored, depth)
            if not self._options.dry_run:
                await self._target.put_manifest(walk.image.target, stored, (tag,))

    async def _look_up(self, name: RepositoryName, tag: Tag) -> Digest | None:
        try:
            return await self._source.resolve(name, tag)
        except ManifestUnknown:
            return None

    async def _blobs(self, walk: _Walk, blobs: Sequence[Descriptor]) -> None:
        once = {blob.digest: blob for blob in blobs}.values()
        if once:
            self._say(BlobsFound(len(once), sum(blob.size for blob in once)))
        await all_of([self._blob(walk, blob) for blob in once])

    async def _blob(self, walk: _Walk, blob: Descriptor) -> None:
        lock = self._locks.setdefault(blob.digest, asyncio.Lock())  # of two images that need it one brings it
        async with lock, self._slots:
            try:
                how = await self._bring(walk.image, blob)
            except BlobUnknown:
                if not blob.foreign:
                    raise
                how = "there"  # its home is elsewhere, and the source does not have it either
        walk.size += blob.size if how == "copied" else 0
        self._say(BlobDone(blob.digest, blob.size, how))

    async def _bring(self, image: Wanted, blob: Descriptor) -> How:
        how: How = "there"
        if not await self._target.has_blob(image.target, blob.digest):
            how = "mounted" if await self._mount(image, blob) else "copied"
            if how == "copied" and not self._options.dry_run:
                await self._patiently(image, blob)
        self._holders[blob.digest] = image.target
        if len(self._holders) > _REMEMBERED:
            self._holders.popitem(last=False)
        return how

    async def _mount(self, image: Wanted, blob: Descriptor) -> bool:
        """Take a blob from where this copy has seen it at the target."""
        holder = self._holders.get(blob.digest)
        if holder is None or self._options.dry_run:
            return holder is not None
        return holder != image.target and await self._target.mount(image.target, blob.digest, holder)

    async def _patiently(self, image: Wanted, blob: Descriptor) -> None:
        """Bring a blob; again from its beginning if the way to the target breaks. Downloads go on by themselves."""
        for left in reversed(range(_TRIES)):
            try:
                await self._stream(image, blob)
                break
            except RateLimited:
                raise
            except UpstreamUnavailable:
                if not left:
                    raise

    async def _stream(self, image: Wanted, blob: Descriptor) -> None:
        async with self._source.blob(image.source, blob.digest) as opened:
            if opened.size != blob.size:
                raise SizeInvalid(f"blob {blob.digest} has {opened.size} bytes, its manifest says {blob.size}")
            async with aclosing(self._counted(opened.blocks)) as blocks:
                await self._target.put_blob(image.target, blob.digest, blob.size, blocks)

    async def _counted(self, blocks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for block in blocks:
            yield block
            self._say(Moved(len(block)))

    def _say(self, event: Event) -> None:
        self.tally.take(event)
        self._report(event)


def _is_manifest(child: Descriptor) -> bool:
    """False for what build caches list in an index: blobs."""
    return child.media_type in mediatypes.MANIFESTS


async def each(images: Iterable[Wanted]) -> AsyncIterator[Wanted]:
    """Images that are known beforehand, as `Copying.run` takes them."""
    for image in images:
        yield image
