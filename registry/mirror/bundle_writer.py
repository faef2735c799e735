"""A bundle that is being made, as a `Target`: image after image goes into a tar, and what fails leaves no trace.

Knows what the other side has (`bundle_base`): blobs that it has are left out, and images of which it has everything.
Blobs lie in the tar in the order in which they came, the index and the manifest of the bundle behind them. Memory grows
with the number of blobs and images, by some hundred bytes each, never with their size.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from registry.content.bodies import pour
from registry.content.digest import Digest, Hasher
from registry.content.errors import DigestInvalid
from registry.content.manifest_store import StoredManifest
from registry.content.names import RepositoryName, Tag
from registry.content.verifying import exactly
from registry.mirror.archive import ArchiveInvalid, RandomBytes
from registry.mirror.bundle_base import Base
from registry.mirror.bundle_manifest import MANIFEST, SIGNATURE, BundleManifest
from registry.mirror.bundle_output import TarOutput
from registry.mirror.layout_files import INDEX, LAYOUT, blob_digest, blob_name
from registry.mirror.layout_index import DOCKER_INDEX, LARGEST_INDEX, LAYOUT_VERSION, IndexEntries
from registry.mirror.progress import Event, ImageBegun, ImageDone, ImageFailed
from registry.mirror.seekable_zstd import Output
from registry.mirror.tar_index import MOST_ENTRIES, Entry, entries

Sign = Callable[[bytes], bytes]
_OTHERS = 5
"""Files that are no blobs."""


class BundleTooLarge(Exception):
    """There are more images and blobs than whoever loads the bundle would read."""


@dataclass(slots=True)
class _Begun:
    """The image that goes in now: where it begins, how many blobs were there before, its entries, and those of its
    manifests that the other side does not have.
    """

    place: int
    blobs: int
    entries: IndexEntries = field(default_factory=IndexEntries)
    new: set[Digest] = field(default_factory=set)


class BundleWriter:
    """The tar of a bundle. Images come one at a time: their beginning and end are told to `hear`."""

    def __init__(self, output: Output, base: Base, *, differential: bool, there: Sequence[Entry] = ()) -> None:
        """Begin a bundle in an empty output, or go on behind the entries that are `there` (see `whole_entries`).

        *Blocking*, as all that writes here is.
        """
        self._tar = TarOutput(output)
        self._base = base
        self._differential = differential
        self._blobs: dict[Digest, int] = {}
        self._entries = IndexEntries()
        self._begun: _Begun | None = None
        self.unchanged = 0
        for entry in there[1:]:
            digest = blob_digest(entry.name)
            if digest is not None:
                self._blobs[digest] = entry.size
        output.truncate(there[-1].end if there else 0)
        if not there:
            self._tar.add(LAYOUT, LAYOUT_VERSION)

    def hear(self, event: Event) -> None:
        """Take notice of where an image begins and ends. *Blocking*, for as long as it takes to cut a file short."""
        match event:
            case ImageBegun():
                self._begun = _Begun(self._tar.output.tell(), len(self._blobs))
            case ImageDone():
                if self._image.new:
                    self._entries.update(self._image.entries)
                else:
                    self.unchanged += 1
                    self._drop()
            case ImageFailed():
                self._drop()

    async def has_manifest(self, name: RepositoryName, digest: Digest, subject: Digest | None = None) -> bool:
        """See `Target`: always False, for each repository lists its own."""
        return False

    async def has_blob(self, name: RepositoryName, digest: Digest) -> bool:
        """See `Target`."""
        return digest in self._blobs or self._base.has(digest)

    async def mount(self, name: RepositoryName, digest: Digest, source: RepositoryName) -> bool:
        """See `Target`."""
        return False

    async def put_blob(self, name: RepositoryName, digest: Digest, size: int, blocks: AsyncIterator[bytes]) -> None:
        """See `Target`. What a blob that fails has written is dropped with its image."""
        hasher = Hasher(digest.algorithm)

        def take(block: memoryview) -> None:
            hasher.update(block)
            self._tar.output.write(block)

        self._tar.begin(blob_name(digest), size)
        await pour(exactly(size, blocks), take)
        if hasher.digest() != digest:
            raise DigestInvalid(f"the bytes of blob {digest} have the digest {hasher.digest()}")
        self._tar.end(size)
        self._blobs[digest] = size

    async def put_manifest(self, name: RepositoryName, manifest: StoredManifest, tags: Sequence[Tag] = ()) -> None:
        """See `Target`."""
        digest = manifest.digest
        self._image.entries.add(name, manifest, tags)
        if tags and all(self._base.has_image(name, tag, digest) for tag in tags):
            self._image.new.discard(digest)
        elif tags or not self._base.has_image(name, digest, digest):
            self._image.new.add(digest)
        if digest not in self._blobs:
            self._tar.add(blob_name(digest), manifest.data)
            self._blobs[digest] = len(manifest.data)

    def finish(self, created: str, sign: Sign | None) -> BundleManifest:
        """Write what is at the end, and give the bundle its name. *Blocking*. Raises `BundleTooLarge`."""
        index = self._entries.dumps()
        if len(index) > LARGEST_INDEX or len(self._blobs) > MOST_ENTRIES - _OTHERS:
            raise BundleTooLarge("a bundle of so many images could not be read; make several, each with a part of them")
        manifest = BundleManifest(created, Digest.of(index), self._blobs, self._differential)
        data = manifest.dumps()
        self._tar.add(INDEX, index)
        self._tar.add(DOCKER_INDEX, self._entries.docker_dumps(self._blobs))
        self._tar.add(MANIFEST, data)
        if sign is not None:
            self._tar.add(SIGNATURE, sign(data))
        self._tar.finish()
        return manifest

    @property
    def _image(self) -> _Begun:
        if self._begun is None:
            raise RuntimeError("no image has begun")
        return self._begun

    def _drop(self) -> None:
        """Cut off all that the image that has begun has written."""
        begun = self._image
        for digest in list(islice(self._blobs, begun.blobs, None)):
            del self._blobs[digest]
        self._tar.output.truncate(begun.place)


def whole_entries(data: RandomBytes) -> list[Entry]:
    """What a bundle that was not finished has whole: the mark of the layout, and blobs that have the digests that they
    are called by. *Blocking*: reads everything.
    """
    found: list[Entry] = []
    try:
        for entry in entries(data):
            digest = blob_digest(entry.name)
            if (
                (entry.name != LAYOUT)
                if not found
                else (digest is None or _hash(data, entry, digest.algorithm) != digest)
            ):
                break
            found.append(entry)
    except ArchiveInvalid:
        return found  # it was killed there
    return found


def _hash(data: RandomBytes, entry: Entry, algorithm: str) -> Digest:
    hasher = Hasher(algorithm)
    for place in range(entry.offset, entry.offset + entry.size, 1 << 20):
        hasher.update(memoryview(data.pread(place, min(1 << 20, entry.offset + entry.size - place))))
    return hasher.digest()
