"""Images of a place, as docker shows them: what a tag names, of an index the image for a platform, and its config.

Knows the reading side of `content.places`. What a place gives is compared with its digest here. An image whose
config is not there is shown as far as it can be, with a note.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from registry.content import image_config, mediatypes
from registry.content.descriptors import Descriptor
from registry.content.digest import Digest
from registry.content.errors import BlobUnknown, ContentCorrupt, ManifestInvalid, ManifestUnknown
from registry.content.image_config import ImageConfig, parse_image_config, parse_time
from registry.content.manifest_store import StoredManifest
from registry.content.manifests import Manifest, parse_manifest
from registry.content.names import Reference, RepositoryName
from registry.content.places import Source
from registry.mirror.errors import UpstreamUnavailable
from registry.mirror.platforms import Platform, platform_of, platforms

_DEEPEST = 4
"""So deep indexes in indexes are followed."""
_CREATED = "org.opencontainers.image.created"


@dataclass(frozen=True, slots=True)
class Shown:
    """Which images of an index to show: that for `platform` (or the first that is there, unless it is `wanted`)."""

    platform: Platform
    wanted: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a repository. `named` is what was asked for, `stored` the image itself: another one if that is an
    index. `config` is None for an artifact.
    """

    repository: RepositoryName
    named: StoredManifest
    stored: StoredManifest
    manifest: Manifest
    config: ImageConfig | None = None
    platform: Platform | None = None
    notes: Sequence[str] = field(default=())

    @property
    def digest(self) -> Digest:
        """What is pulled under the name that was asked for."""
        return self.named.digest

    @property
    def id(self) -> Digest:
        """What docker calls it once it is pulled: the digest of its config; of an artifact that of its manifest."""
        if self.config is None or self.manifest.config is None:
            return self.stored.digest
        return self.manifest.config.digest

    @property
    def layers(self) -> Sequence[Descriptor]:
        """All that it consists of, but the config."""
        return self.manifest.blobs[1:] if self.manifest.config is not None else self.manifest.blobs

    @property
    def size(self) -> int:
        """Bytes of its layers as they are kept: compressed."""
        return sum(layer.size for layer in self.layers)

    @property
    def created(self) -> datetime | None:
        """When it says that it was made."""
        return time_said((self.config.created if self.config else "") or self.manifest.annotations.get(_CREATED, ""))


def time_said(text: str) -> datetime | None:
    """A time of RFC 3339; None for those up to the beginning of 1970, which stand for none."""
    moment = parse_time(text)
    return moment if moment is not None and moment.timestamp() > 0 else None


class Images:
    """Reads images out of a place."""

    def __init__(self, source: Source, shown: Shown) -> None:
        self._source = source
        self._shown = shown

    async def open(self, name: RepositoryName, reference: Reference) -> Image:
        """The image that a tag or digest names. Raises `ManifestUnknown`, and what the place raises."""
        named = await self._manifest(name, reference)
        return await self._open(name, named, named, 0)

    async def open_all(self, name: RepositoryName, reference: Reference) -> Sequence[Image]:
        """As `open`, of an index the images for all platforms."""
        named = await self._manifest(name, reference)
        opened = _parsed(name, named)
        if not _images_of(named, opened.manifest):
            return [await self._open(name, named, named, 0)]
        found = []
        for child, platform in _images_of(named, opened.manifest):
            index = replace(opened, platform=platform)
            found.append(await self._child(index, child, 0) or _lacking(index, child))
        return found

    async def _open(self, name: RepositoryName, named: StoredManifest, stored: StoredManifest, depth: int) -> Image:
        image = replace(_parsed(name, stored), named=named)
        children = _images_of(stored, image.manifest)
        if not children or depth > _DEEPEST:
            return await self._with_config(image)
        candidates = self._in_order(name, children)
        for child, platform in candidates:
            found = await self._child(replace(image, platform=platform), child, depth)
            if found is not None:
                return found
        return _lacking(replace(image, platform=candidates[0][1]), candidates[0][0])

    async def _child(self, index: Image, child: Descriptor, depth: int) -> Image | None:
        """An image of an index; None if it is not there."""
        try:
            stored = await self._manifest(index.repository, child.digest)
        except ManifestUnknown:
            return None
        except UpstreamUnavailable as error:  # a mirror has not fetched it yet, and cannot now
            note = f"{index.repository}@{index.digest}: its image {child.digest} cannot be read: {error.message}"
            return replace(index, notes=[note])
        image = await self._open(index.repository, index.named, stored, depth + 1)
        return replace(image, platform=index.platform or image.platform)

    def _in_order(self, name: RepositoryName, children: "Sequence[_Child]") -> "Sequence[_Child]":
        """The images to show, if they are there, the best first."""
        fitting: list[_Child] = []
        others: list[_Child] = []
        for child, platform in children:
            fits = platform is not None and self._shown.platform.covers(platform)
            (fitting if fits else others).append((child, platform))
        if not self._shown.wanted:
            return [*fitting, *others]
        if not fitting:
            there = ", ".join(str(platform) for _, platform in children if platform is not None)
            raise ManifestUnknown(f"this image of {name} is not there for {self._shown.platform}, only for {there}")
        return fitting

    async def _with_config(self, image: Image) -> Image:
        config = image.manifest.config
        if config is None or config.media_type not in image_config.MEDIA_TYPES:
            return image
        where = f"{image.repository}@{image.stored.digest}"
        if config.size > image_config.LARGEST:
            return replace(image, notes=[f"{where}: its config has {config.size} bytes, nobody reads it"])
        try:
            parsed = parse_image_config(await self._blob(image.repository, config))
        except (BlobUnknown, ContentCorrupt, UpstreamUnavailable) as error:
            return replace(image, notes=[f"{where}: its config cannot be read: {error.message}"])
        if parsed is None:
            return replace(image, notes=[f"{where}: its config is no JSON object"])
        return replace(image, config=parsed, platform=image.platform or platform_of(parsed))

    async def _manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
        stored = await self._source.manifest(name, reference)
        wanted = reference if isinstance(reference, Digest) else stored.digest
        if Digest.of(stored.data, wanted.algorithm) != wanted:
            raise ContentCorrupt(f"the bytes of manifest {wanted} of {name} have another digest")
        return stored

    async def _blob(self, name: RepositoryName, blob: Descriptor) -> bytes:
        data = b""
        async with self._source.blob(name, blob.digest) as opened:
            async for block in opened.blocks:
                data += block
                if len(data) > blob.size:
                    break
        if Digest.of(data, blob.digest.algorithm) != blob.digest:
            raise ContentCorrupt(f"the bytes of blob {blob.digest} have another digest")
        return data


_Child = tuple[Descriptor, Platform | None]


def _parsed(name: RepositoryName, stored: StoredManifest) -> Image:
    try:
        return Image(name, stored, stored, parse_manifest(stored.data, stored.media_type))
    except ManifestInvalid as error:  # such as schema 1, of a tree that another registry wrote
        note = f"{name}@{stored.digest}: {error.message}"
        return Image(name, stored, stored, Manifest(stored.media_type), notes=[note])


def _lacking(index: Image, child: Descriptor) -> Image:
    """An index whose image is not there."""
    return replace(index, notes=[f"{index.repository}@{index.digest}: its image {child.digest} is not there"])


def _images_of(stored: StoredManifest, manifest: Manifest) -> Sequence[_Child]:
    """The images of an index, without what attests them."""
    found = zip(manifest.manifests, platforms(stored.data, manifest.manifests), strict=True)
    images = [(child, platform) for child, platform in found if child.media_type in mediatypes.MANIFESTS]
    return [child for child in images if child[1] is not None] or images
