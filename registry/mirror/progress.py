"""What a copy says while it runs, and the sums of it. Knows what is copied; prints nothing and reads no clock."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from registry.content.digest import Digest
from registry.content.names import Reference, RepositoryName, Tag

How = Literal["copied", "mounted", "there"]
"""What became of a piece of content: brought, taken from another repository of the target, or there already."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One image to copy: what it is called at the source, its repository at the target, and its tags there."""

    source: RepositoryName
    reference: Reference
    target: RepositoryName
    tags: tuple[Tag, ...] = ()

    def __str__(self) -> str:
        return f"{self.source}{'@' if isinstance(self.reference, Digest) else ':'}{self.reference}"


@dataclass(frozen=True, slots=True)
class ImageBegun:
    """The copy has begun with an image."""

    image: Wanted


@dataclass(frozen=True, slots=True)
class BlobsFound:
    """An image needs so many more blobs, of `size` bytes together."""

    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Moved:
    """So many bytes of a blob are on their way."""

    size: int


@dataclass(frozen=True, slots=True)
class BlobDone:
    """The target has a blob; `size` in bytes."""

    digest: Digest
    size: int
    how: How


@dataclass(frozen=True, slots=True)
class ManifestDone:
    """The target has a manifest; `size` in bytes."""

    digest: Digest
    size: int
    how: How


@dataclass(frozen=True, slots=True)
class ImageDone:
    """The target has an image whole, with its tags; `size` bytes were copied for it."""

    image: Wanted
    digest: Digest
    size: int = 0


@dataclass(frozen=True, slots=True)
class ImageFailed:
    """An image could not be copied; what the target has of it stays there without a tag."""

    image: Wanted
    reason: str


Event = ImageBegun | BlobsFound | Moved | BlobDone | ManifestDone | ImageDone | ImageFailed
Report = Callable[[Event], None]


@dataclass(slots=True)
class Tally:
    """The sums of all events of a copy; sizes in bytes. Of a dry run `copied` is what would be."""

    images: int = 0
    images_done: int = 0
    blobs: int = 0
    size: int = 0
    blobs_done: int = 0
    size_done: int = 0
    blobs_copied: int = 0
    blobs_mounted: int = 0
    size_copied: int = 0
    manifests_copied: int = 0
    size_moved: int = 0
    failed: list[ImageFailed] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Add an event."""
        match event:
            case ImageBegun():
                self.images += 1
            case BlobsFound():
                self.blobs += event.count
                self.size += event.size
            case Moved():
                self.size_moved += event.size
            case BlobDone():
                self.blobs_done += 1
                self.size_done += event.size
                self.blobs_mounted += event.how == "mounted"
                self.blobs_copied += event.how == "copied"
                self.size_copied += event.size if event.how == "copied" else 0
            case ManifestDone():
                self.manifests_copied += event.how == "copied"
            case ImageDone():
                self.images_done += 1
            case ImageFailed():
                self.failed.append(event)
