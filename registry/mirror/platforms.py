"""Platforms: which images of an index somebody wants. Knows what descriptors and configs say of it, and no place.

Sources: image-spec, image-index.md; containerd, platforms/database.go, for what means the same; buildkit's attestation
storage, for what an index says of itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from registry.content import strict_json
from registry.content.descriptors import Descriptor
from registry.content.errors import ManifestUnknown
from registry.content.image_config import ImageConfig

_ATTESTS = "vnd.docker.reference.digest"
"""The annotation in which a descriptor of attestations says for which image they are."""


_ALIASES = {
    "i386": ("386",),
    "x86_64": ("amd64",),
    "x86-64": ("amd64",),
    "aarch64": ("arm64",),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
"""What architectures are called elsewhere, with the variant that is meant."""
_SILENT = {("arm64", "8"), ("arm64", "v8"), ("amd64", "v1")}
"""Variants that need not be said."""


class PlatformInvalid(ValueError):
    """The text names no platform."""


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """`os/architecture[/variant]`; without a variant it stands for all of them."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a platform as docker's `--platform` takes it. Raises `PlatformInvalid`."""
        parts = text.split("/")
        if not 2 <= len(parts) <= 3 or not all(parts):
            raise PlatformInvalid(f"{text!r} is not a platform; one looks like linux/amd64 or linux/arm/v7")
        os, architecture, *variant = (part.lower() for part in parts)
        return cls(os, *(_ALIASES.get(architecture, (architecture,))[: 1 if variant else 2]), *variant)

    def covers(self, other: "Platform") -> bool:
        """True if an image for `other` is one for this platform."""
        architecture, variant = _normal(other)
        same = (self.os, _normal(self)[0]) == (other.os, architecture)
        return same and (not self.variant or _normal(self)[1] == variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def chosen(data: bytes, children: Sequence[Descriptor], wanted: Sequence[Platform]) -> tuple[Descriptor, ...]:
    """Those `children` of the index `data` that are for one of the platforms, and what attests them; all if none is
    wanted. What names no platform is always among them. Raises `ManifestUnknown` if there are images, but none of them
    is wanted.
    """
    if not wanted or not children:
        return tuple(children)
    entries = _entries(data)
    found = platforms(data, children)
    taken = {
        str(child.digest)
        for child, platform in zip(children, found, strict=True)
        if platform is not None and any(each.covers(platform) for each in wanted)
    }
    if not taken and any(platform is not None for platform in found):
        there = ", ".join(sorted({str(platform) for platform in found if platform is not None}))[:500]
        shown = "".join(char if char.isprintable() else "?" for char in there)  # others have written it
        raise ManifestUnknown(f"the index has no image for {', '.join(map(str, wanted))}; it has {shown}")
    return tuple(
        child
        for child, entry, platform in zip(children, entries, found, strict=True)
        if str(child.digest) in taken or (platform is None and _attested(entry) in {None, *taken})
    )


def platform_of(config: ImageConfig) -> Platform | None:
    """For what an image is, by its config; None if that does not say."""
    known = config.os and config.architecture
    return Platform(config.os, config.architecture, config.variant) if known else None


def platforms(data: bytes, children: Sequence[Descriptor]) -> Sequence[Platform | None]:
    """For what each of the `children` of the index `data` is; None if it names no platform, as attestations don't."""
    return [_platform(entry) for entry in _entries(data)] if children else []


def _entries(data: bytes) -> Sequence[Mapping[str, object]]:
    """The descriptors of an index that has been parsed."""
    document = strict_json.loads(data)
    entries = document.get("manifests") if isinstance(document, dict) else None
    return entries if isinstance(entries, list) else []


def _platform(entry: Mapping[str, object]) -> Platform | None:
    """What a descriptor says; None if it names no platform, as those of attestations don't."""
    value = entry.get("platform")
    if not isinstance(value, dict):
        return None
    os, architecture, variant = (value.get(name) for name in ("os", "architecture", "variant"))
    if not isinstance(os, str) or not isinstance(architecture, str) or "unknown" in {os, architecture}:
        return None
    return Platform(os, architecture, variant if isinstance(variant, str) else "")


def _attested(entry: Mapping[str, object]) -> str | None:
    """The image that a descriptor attests; None if it says nothing that can be meant so."""
    annotations = entry.get("annotations")
    attested = annotations.get(_ATTESTS) if isinstance(annotations, dict) else None
    return attested if isinstance(attested, str) else None


def _normal(platform: Platform) -> tuple[str, str]:
    """Architecture and variant as containerd normalises them: arm64 is v8 and arm v7 if nothing else is said."""
    architecture, *aliased = _ALIASES.get(platform.architecture, (platform.architecture,))
    variant = platform.variant or "".join(aliased)
    if architecture == "arm" and (not variant or variant.isdigit()):
        variant = f"v{variant or 7}"
    return architecture, "" if (architecture, variant) in _SILENT else variant
