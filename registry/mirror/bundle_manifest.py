"""What a bundle says of itself: the file `cargohold-bundle.json`, which lists what is in it. Pure.

It is what a signature is made of: it holds the digest of the index, which holds those of the images, which hold those
of everything else. Readers that do not know it pass over it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from registry.content import strict_json
from registry.content.digest import Digest
from registry.content.errors import DigestInvalid
from registry.mirror.archive import ArchiveInvalid
from registry.mirror.layout_files import INDEX, TarFiles, blob_name

MANIFEST = "cargohold-bundle.json"
SIGNATURE = "cargohold-bundle.sig"
LARGEST_MANIFEST = 64 * 1024 * 1024
_VERSION = 1


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """`created` in UTC, as ISO 8601; `index` is the digest of `index.json`; size in bytes of each blob that is inside.

    `differential`: what the other side was known to have is left out.
    """

    created: str
    index: Digest
    blobs: Mapping[Digest, int]
    differential: bool = False

    def dumps(self) -> bytes:
        """The file."""
        document = {
            "bundleVersion": _VERSION,
            "created": self.created,
            "differential": self.differential,
            "index": str(self.index),
            "blobs": {str(digest): size for digest, size in sorted(self.blobs.items())},
        }
        return json.dumps(document, separators=(",", ":")).encode()


def parse_bundle_manifest(data: bytes) -> BundleManifest:
    """Read the file. Raises `ArchiveInvalid`."""
    try:
        document = strict_json.loads(data)
    except strict_json.JSONInvalid as error:
        raise ArchiveInvalid(f"{MANIFEST} is not valid JSON: {error}") from error
    if not isinstance(document, dict) or document.get("bundleVersion") != _VERSION:
        version = document.get("bundleVersion") if isinstance(document, dict) else None
        raise ArchiveInvalid(f"{MANIFEST} has the version {version!r}; this program reads version {_VERSION}")
    created, index, blobs = (document.get(name) for name in ("created", "index", "blobs"))
    if not isinstance(created, str) or not isinstance(index, str) or not isinstance(blobs, dict):
        raise ArchiveInvalid(f"{MANIFEST} lacks created, index or blobs")
    try:
        sizes = {Digest.parse(digest): _size(digest, size) for digest, size in blobs.items()}
        return BundleManifest(created[:64], Digest.parse(index), sizes, document.get("differential") is True)
    except DigestInvalid as error:
        raise ArchiveInvalid(f"{MANIFEST}: {error}") from error


def check_contents(manifest: BundleManifest, files: TarFiles, index: bytes) -> None:
    """Compare what a bundle says of itself with what is in it. Raises `ArchiveInvalid` with the entry's name."""
    if Digest.of(index, manifest.index.algorithm) != manifest.index:
        raise ArchiveInvalid(f"{INDEX} has been changed: {MANIFEST} names another one")
    for digest, size in manifest.blobs.items():
        found = files.blob_size(digest)
        if found != size:
            is_there = "is missing" if found is None else f"has {found} bytes"
            raise ArchiveInvalid(f"{blob_name(digest)} {is_there}; {MANIFEST} says {size} bytes")


def _size(digest: str, size: object) -> int:
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ArchiveInvalid(f"{MANIFEST} gives no size for {digest}")
    return size
