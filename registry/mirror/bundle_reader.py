"""A bundle that is read: opened with all checks that do not read blobs, listed, and verified blob by blob.

Any OCI image layout in a tar can be read; what only ours have is the file that lists what is inside, and a signature.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from registry.content import mediatypes
from registry.content.descriptors import Descriptor
from registry.content.digest import Digest, Hasher
from registry.content.errors import ContentError
from registry.content.manifests import Manifest, parse_manifest
from registry.content.names import RepositoryName
from registry.mirror.archive import ArchiveInvalid
from registry.mirror.bundle_manifest import (
    LARGEST_MANIFEST,
    MANIFEST,
    SIGNATURE,
    BundleManifest,
    check_contents,
    parse_bundle_manifest,
)
from registry.mirror.layout_files import TarFiles, blob_name, open_archive
from registry.mirror.layout_index import Named
from registry.mirror.oci_layout import BLOCK, OciLayout

Check = Callable[[bytes, bytes], bool]
"""True if the first is a signature of the second."""
_SIGNATURE_BYTES = 64


class NotSigned(Exception):
    """The bundle is not signed by the key that is asked for."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle; `manifest` is None if another program has made it."""

    layout: OciLayout
    files: TarFiles
    manifest: BundleManifest | None

    @property
    def differential(self) -> bool:
        """True if it leaves out what the other side has."""
        return self.manifest is not None and self.manifest.differential

    def close(self) -> None:
        """Let go of its files."""
        self.files.close()


@dataclass(frozen=True, slots=True)
class Contents:
    """What an image of a bundle consists of; sizes in bytes. `missing` must be at the other side already."""

    image: Named
    size: int
    blobs: int
    missing: tuple[Digest, ...]


@dataclass(slots=True)
class Verified:
    """How far verifying is; sizes in bytes."""

    blobs: int = 0
    size: int = 0
    blobs_done: int = 0
    size_done: int = 0
    damaged: list[str] = field(default_factory=list)


def open_bundle(path: Path, check: Check | None = None, unnamed: RepositoryName | None = None) -> Bundle:
    """Open a bundle, or any OCI image layout in a tar, and check all but its blobs. *Blocking*.

    With `check` it must be signed: `NotSigned`. Raises `ArchiveInvalid`, `OSError`.
    """
    data = open_archive(path)
    with ExitStack() as opened:
        opened.callback(data.close)
        files = TarFiles(data, MANIFEST, SIGNATURE)
        written = files.read(MANIFEST, LARGEST_MANIFEST)
        if check is not None:
            signature = files.read(SIGNATURE, _SIGNATURE_BYTES)
            if written is None or signature is None:
                raise NotSigned(f"{path} is not signed")
            if not check(signature, written):
                raise NotSigned(f"{path} is signed with another key, or has been changed since")
        layout = OciLayout(files, unnamed)
        manifest = None if written is None else parse_bundle_manifest(written)
        if manifest is not None:
            check_contents(manifest, files, layout.index)
        opened.pop_all()
    return Bundle(layout, files, manifest)


def contents(bundle: Bundle) -> Iterator[Contents]:
    """What each image consists of. *Blocking*: reads all manifests. Raises `ArchiveInvalid` for one that is none, and
    for blobs of another size than their manifest says.
    """
    known: dict[Digest, tuple[int, int, tuple[Digest, ...]]] = {}  # an index may name one image a thousand times
    for image in bundle.layout.images:
        digest = image.descriptor.digest
        if digest not in known:
            known[digest] = _consists_of(bundle, image)
        yield Contents(image, *known[digest])


def _consists_of(bundle: Bundle, image: Named) -> tuple[int, int, tuple[Digest, ...]]:
    """Size and number of all that an image needs, and what of it is missing."""
    needed = {image.descriptor.digest: image.descriptor.size}
    for digest, manifest in _graph(bundle, image.descriptor.digest):
        needed.setdefault(digest, bundle.files.blob_size(digest) or 0)
        needed |= {blob.digest: blob.size for blob in manifest.blobs if not _is_elsewhere(bundle, blob)}
    for digest, size in needed.items():
        found = bundle.files.blob_size(digest)
        if found not in {None, size}:
            raise ArchiveInvalid(f"{blob_name(digest)} has {found} bytes; for {image} it should have {size}")
    return sum(needed.values()), len(needed), tuple(each for each in needed if bundle.files.blob_size(each) is None)


async def verify(bundle: Bundle, progress: Verified) -> None:
    """Read every blob, and compare its digest with its name."""
    blobs = bundle.files.blobs
    progress.blobs, progress.size = len(blobs), sum(blobs.values())
    for digest, size in blobs.items():
        found = await asyncio.to_thread(_hash, bundle.files, digest, size, progress)
        if found != digest:
            progress.damaged.append(blob_name(digest))
        progress.blobs_done += 1


def _hash(files: TarFiles, digest: Digest, size: int, progress: Verified) -> Digest:
    hasher = Hasher(digest.algorithm)
    for place in range(0, size, BLOCK):
        block = files.read_blob(digest, place, min(BLOCK, size - place))
        hasher.update(memoryview(block))
        progress.size_done += len(block)
    return hasher.digest()


def _graph(bundle: Bundle, digest: Digest) -> Iterator[tuple[Digest, Manifest]]:
    """A manifest that is in the bundle, and below it those that are."""
    waiting, seen = [digest], set[Digest]()
    while waiting:
        digest = waiting.pop()
        if digest in seen or bundle.files.blob_size(digest) is None:
            continue
        seen.add(digest)
        stored = bundle.layout.read_manifest(digest)
        try:
            manifest = parse_manifest(stored.data, stored.media_type)
        except ContentError as error:
            raise ArchiveInvalid(f"{blob_name(digest)} is no manifest: {error}") from error
        yield digest, manifest
        waiting += [child.digest for child in manifest.manifests if child.media_type in mediatypes.MANIFESTS]


def _is_elsewhere(bundle: Bundle, blob: Descriptor) -> bool:
    return blob.foreign and bundle.files.blob_size(blob.digest) is None
