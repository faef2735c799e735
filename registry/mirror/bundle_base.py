"""What the other side of a gap has: from an earlier bundle, or from an inventory that was carried back. Pure.

An inventory is small and may err: of ten million questions for what the other side lacks, fewer than one are answered
with yes. Then the bundle lacks a blob, and loading it says so. It is a Golomb-coded set of what 64 bits of each digest
are mapped to, as in BIP 158.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeGuard

from registry.content import strict_json
from registry.content.digest import Digest
from registry.content.names import Reference, RepositoryName
from registry.mirror.archive import ArchiveInvalid
from registry.mirror.bundle_manifest import BundleManifest
from registry.mirror.layout_index import Named

_KIND = "cargoholdInventory"
_VERSION = 1
_BITS = 24
_MOST = 5_000_000
LARGEST_INVENTORY = 32 * 1024 * 1024


class Base(Protocol):
    """What is there before a bundle comes."""

    def has(self, digest: Digest) -> bool:
        """True if a blob or a manifest is there."""
        ...

    def has_image(self, name: RepositoryName, reference: Reference, digest: Digest) -> bool:
        """True if a repository has the manifest `digest` under the reference, a tag or its digest."""
        ...

    def has_another(self, name: RepositoryName, reference: Reference, digest: Digest) -> bool:
        """True if a repository had another manifest under the reference, or none, as far as this goes back."""
        ...


@dataclass(frozen=True, slots=True)
class Several:
    """All of these together; nothing if there is none."""

    bases: Sequence[Base] = ()

    def has(self, digest: Digest) -> bool:
        """See `Base`."""
        return any(base.has(digest) for base in self.bases)

    def has_image(self, name: RepositoryName, reference: Reference, digest: Digest) -> bool:
        """See `Base`."""
        return any(base.has_image(name, reference, digest) for base in self.bases) and not self.has_another(
            name, reference, digest
        )  # nobody can tell which of two bundles was loaded last: the image crosses again, without its layers

    def has_another(self, name: RepositoryName, reference: Reference, digest: Digest) -> bool:
        """See `Base`."""
        return any(base.has_another(name, reference, digest) for base in self.bases)


class EarlierBundle:
    """What an earlier bundle has brought."""

    def __init__(self, manifest: BundleManifest, images: Iterable[Named]) -> None:
        self._blobs = manifest.blobs
        self._images = {(one.name, one.reference): one.descriptor.digest for one in images}

    def has(self, digest: Digest) -> bool:
        """See `Base`."""
        return digest in self._blobs

    def has_image(self, name: RepositoryName, reference: Reference, digest: Digest) -> bool:
        """See `Base`."""
        if isinstance(reference, Digest):
            return self.has(digest)  # nothing says of which repository an index's children are
        return self._images.get((name, reference)) == digest

    def has_another(self, name: RepositoryName, reference: Reference, digest: Digest) -> bool:
        """See `Base`."""
        return self._images.get((name, reference), digest) != digest


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a registry has, as numbers; `created` in UTC, as ISO 8601."""

    created: str
    members: frozenset[int]
    range: int = field(default=0)

    def has(self, digest: Digest) -> bool:
        """See `Base`."""
        return _mapped(content_hash(digest), self.range) in self.members

    def has_image(self, name: RepositoryName, reference: Reference, digest: Digest) -> bool:
        """See `Base`."""
        return _mapped(image_hash(name, reference, digest), self.range) in self.members

    def has_another(self, name: RepositoryName, reference: Reference, digest: Digest) -> bool:
        """See `Base`: it names all that was there."""
        return not self.has_image(name, reference, digest)


def content_hash(digest: Digest) -> int:
    """64 bits that stand for a blob or a manifest."""
    return int(digest.encoded[:16], 16)


def image_hash(name: RepositoryName, reference: Reference, digest: Digest) -> int:
    """64 bits that stand for a reference that names a manifest."""
    text = f"{name}:{reference}@{digest}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def dump_inventory(created: str, hashes: Collection[int]) -> bytes:
    """The file of an inventory."""
    size = len(hashes) << _BITS
    members = sorted({_mapped(each, size) for each in hashes})
    document = {
        _KIND: _VERSION,
        "created": created,
        "hashes": len(hashes),
        "members": len(members),
        "set": base64.b85encode(_packed(members)).decode(),
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def parse_inventory(data: bytes) -> Inventory:
    """Read the file of an inventory. Raises `ArchiveInvalid`."""
    try:
        document = strict_json.loads(data)
    except strict_json.JSONInvalid as error:
        raise ArchiveInvalid(f"the inventory is not valid JSON: {error}") from error
    if not isinstance(document, dict) or document.get(_KIND) != _VERSION:
        raise ArchiveInvalid(f"this is no inventory of version {_VERSION}; `cargohold bundle inventory` makes one")
    created, hashes, count, text = (document.get(name) for name in ("created", "hashes", "members", "set"))
    if not isinstance(created, str) or not isinstance(text, str) or not _is_count(hashes) or not _is_count(count):
        raise ArchiveInvalid("the inventory is damaged")
    try:
        members = frozenset(_unpacked(base64.b85decode(text), count))
    except (ValueError, binascii.Error, IndexError) as error:
        raise ArchiveInvalid("the inventory is damaged: its set cannot be read") from error
    return Inventory(created[:64], members, hashes << _BITS)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def _mapped(value: int, size: int) -> int:
    """A 64-bit number, brought evenly into the range below `size`."""
    return value * size >> 64


def _packed(members: Iterable[int]) -> bytes:
    """Golomb-Rice code of the differences: the quotient in ones and a zero, the remainder in `_BITS` bits."""
    bits, last = [], 0
    for member in members:
        difference, last = member - last, member
        bits.append("1" * (difference >> _BITS) + "0" + f"{difference & ((1 << _BITS) - 1):0{_BITS}b}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""


def _unpacked(data: bytes, count: int) -> Iterator[int]:
    text = f"{int.from_bytes(data, 'big'):0{len(data) * 8}b}" if data else ""
    place, last = 0, 0
    for _ in range(count):
        end = text.index("0", place)
        remainder = text[end + 1 : end + 1 + _BITS]
        if len(remainder) < _BITS:
            raise ValueError("cut off")
        last += ((end - place) << _BITS) + int(remainder, 2)
        place = end + 1 + _BITS
        yield last
