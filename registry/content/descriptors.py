"""Descriptors: a pointer to content by media type, digest and size. Source: image-spec, descriptor.md. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from registry.content.digest import Digest
from registry.content.errors import DigestInvalid, ManifestInvalid
from registry.content.mediatypes import FOREIGN_LAYERS

_MAX_SIZE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest says of one thing that it needs; `size` in bytes."""

    media_type: str
    digest: Digest
    size: int
    foreign: bool = False
    """True if it is meant to be fetched from elsewhere: it names places outside the registry, or is of such a type."""


def parse_descriptor(value: object, where: str) -> Descriptor:
    """Read a descriptor found at `where` in a manifest. Raises `ManifestInvalid`."""
    if not isinstance(value, dict):
        raise ManifestInvalid(f"{where} must be a descriptor: an object with mediaType, digest and size")
    media_type, digest, size, urls = (value.get(name) for name in ("mediaType", "digest", "size", "urls"))
    if not isinstance(media_type, str) or not media_type:
        raise ManifestInvalid(f"{where}.mediaType must be a media type")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAX_SIZE:
        raise ManifestInvalid(f"{where}.size must be a number of bytes")
    if not isinstance(digest, str):
        raise ManifestInvalid(f"{where}.digest must be a digest")
    if urls is not None and not (isinstance(urls, list) and all(isinstance(url, str) for url in urls)):
        raise ManifestInvalid(f"{where}.urls must be a list of URLs")
    try:
        foreign = bool(urls) or media_type in FOREIGN_LAYERS
        return Descriptor(media_type, Digest.parse(digest), size, foreign)
    except DigestInvalid as error:
        raise ManifestInvalid(f"{where}.digest: {error.message}") from error


def parse_annotations(value: object, where: str) -> Mapping[str, str]:
    """Read annotations (a map of strings). Raises `ManifestInvalid`."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ManifestInvalid(f"{where} must be an object whose values are strings")
    return value
