"""Places that hold images: our own storage, a registry elsewhere, an OCI image layout. What copying needs of them.

Knows names, digests and manifests; not how a place keeps or fetches them. Whoever reads bytes out of a place checks
their digest: a place is believed nothing.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from registry.content.digest import Digest
from registry.content.manifest_store import StoredManifest
from registry.content.names import Reference, RepositoryName, Tag


@dataclass(frozen=True, slots=True)
class OpenBlob:
    """A blob that is being read: `size` of the whole in bytes, and its bytes from where the reader began."""

    size: int
    blocks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Referrer:
    """What a place says of a manifest that refers to another one; `size` in bytes."""

    media_type: str
    digest: Digest
    size: int
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """A place that can be read. Listings come in the place's own order, page by page."""

    def repositories(self) -> AsyncIterator[RepositoryName]:
        """All repositories that we may see."""
        ...

    def tags(self, name: RepositoryName) -> AsyncIterator[Tag]:
        """All tags of a repository. Raises `NameUnknown`."""
        ...

    async def resolve(self, name: RepositoryName, reference: Reference) -> Digest:
        """The digest that a reference names now, without reading the manifest. Raises `ManifestUnknown`."""
        ...

    async def manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
        """A manifest, byte for byte; its digest is that of its bytes. Raises `ManifestUnknown`, `ContentCorrupt`."""
        ...

    def blob(self, name: RepositoryName, digest: Digest, start: int = 0) -> AbstractAsyncContextManager[OpenBlob]:
        """Open a blob at byte `start`. Entering raises `BlobUnknown`."""
        ...

    def referrers(self, name: RepositoryName, subject: Digest) -> AsyncIterator[Referrer]:
        """What refers to a manifest."""
        ...


class Target(Protocol):
    """A place that can be written. What it has acknowledged is there."""

    async def has_manifest(self, name: RepositoryName, digest: Digest, subject: Digest | None = None) -> bool:
        """True if the repository has the manifest; of one with a `subject`, if it can be found as its referrer, too."""
        ...

    async def has_blob(self, name: RepositoryName, digest: Digest) -> bool:
        """True if the repository has the blob, and keeps it for us for a while."""
        ...

    async def mount(self, name: RepositoryName, digest: Digest, source: RepositoryName) -> bool:
        """Make a blob of another repository of this place part of this one; False if that cannot be done."""
        ...

    async def put_blob(self, name: RepositoryName, digest: Digest, size: int, blocks: AsyncIterator[bytes]) -> None:
        """Store a blob of `size` bytes. Raises `DigestInvalid` or `SizeInvalid`; nothing is visible then."""
        ...

    async def put_manifest(self, name: RepositoryName, manifest: StoredManifest, tags: Sequence[Tag] = ()) -> None:
        """Store a manifest whose references are there, and make the tags name it."""
        ...


class Removable(Protocol):
    """A place from which images can be removed."""

    async def delete_manifest(self, name: RepositoryName, digest: Digest) -> None:
        """Remove a manifest and every tag that names it. Raises `ManifestUnknown`."""
        ...

    async def delete_tag(self, name: RepositoryName, tag: Tag) -> None:
        """Remove a tag; the manifest stays. Raises `ManifestUnknown`."""
        ...
