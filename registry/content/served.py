"""What the API asks of a registry, whether that answers from its own storage alone or fetches from elsewhere, too.

Shapes only. `repository.Registry` has them by itself; what mirrors other registries has them in front of one.
"""

from collections.abc import Sequence
from typing import Protocol

from registry.content.bodies import Body
from registry.content.catalog import View
from registry.content.digest import Digest
from registry.content.manifest_store import StoredManifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.paging import Page
from registry.content.referrer_index import ReferrersPage
from registry.content.repository import Expected, PushedManifest, Rules
from registry.content.upload_sessions import ChunkRange, Session
from storage_backends.sendable import Sendable


class ServedBlobs(Protocol):
    """Blobs by repository and digest; see `BlobStore`."""

    async def size(self, name: RepositoryName, digest: Digest, *, renew: bool = False) -> int:
        """The blob's size in bytes. Raises `BlobUnknown`."""
        ...

    async def open(self, name: RepositoryName, digest: Digest, start: int = 0, length: int | None = None) -> Sendable:
        """The blob's bytes, or `length` of them from `start`. Raises `BlobUnknown`."""
        ...

    async def presign(self, name: RepositoryName, digest: Digest) -> str | None:
        """A URL under which the blob can be had for a while; None if there is no such thing, or not now."""
        ...


class ServedUploads(Protocol):
    """Upload sessions; see `UploadSessions`."""

    async def begin(self, name: RepositoryName, algorithm: str = ...) -> Session:
        """Open a session."""
        ...

    async def offset(self, session: Session) -> int:
        """Bytes that the session holds."""
        ...

    async def append(self, session: Session, body: Body, chunk: ChunkRange | None = None) -> int:
        """Add a body to the session."""
        ...

    async def finish(self, session: Session, digest: Digest, body: Body, chunk: ChunkRange | None = None) -> None:
        """Make the session a blob."""
        ...

    async def push(self, name: RepositoryName, digest: Digest, body: Body) -> None:
        """A whole blob in one body."""
        ...

    async def cancel(self, session: Session) -> None:
        """Forget a session."""
        ...


class ServedRegistry(Protocol):
    """All repositories; see `Registry`."""

    @property
    def rules(self) -> Rules:
        """What is accepted."""
        ...

    @property
    def blobs(self) -> ServedBlobs:
        """The blobs."""
        ...

    @property
    def uploads(self) -> ServedUploads:
        """The uploads."""
        ...

    async def mount(self, name: RepositoryName, digest: Digest, source: RepositoryName | None) -> bool:
        """Make a blob of another repository part of this one."""
        ...

    async def get_manifest(self, name: RepositoryName, reference: Reference, *, is_pull: bool = True) -> StoredManifest:
        """A manifest by tag or digest; noted as pulled if it `is_pull`. Raises `ManifestUnknown`."""
        ...

    async def put_manifest(
        self,
        name: RepositoryName,
        reference: Reference,
        data: bytes,
        media_type: str | None,
        tags: Sequence[Tag] = ...,
        *,
        expected: Expected | None = None,
    ) -> PushedManifest:
        """Store a manifest, and move the tags to it, if the reference names what is `expected`."""
        ...

    async def delete_manifest(self, name: RepositoryName, digest: Digest, expected: Expected | None = ...) -> None:
        """Remove a manifest and every tag that names it, if it is `expected` there. Raises `ManifestUnknown`."""
        ...

    async def delete_blob(self, name: RepositoryName, digest: Digest) -> None:
        """Take a blob out of the repository. Raises `BlobUnknown`."""
        ...

    async def delete_tag(self, name: RepositoryName, tag: Tag, expected: Expected | None = ...) -> None:
        """Remove a tag, if it names what is `expected`. Raises `ManifestUnknown`."""
        ...

    async def tags(self, name: RepositoryName, after: str, limit: int) -> Page:
        """A page of a repository's tags. Raises `NameUnknown`."""
        ...

    async def referrers(
        self, name: RepositoryName, subject: Digest, artifact_type: str | None, after: str, limit: int
    ) -> ReferrersPage:
        """A page of what refers to a manifest."""
        ...

    async def repositories(self, after: str, limit: int, view: View = ...) -> Page:
        """A page of the repositories."""
        ...
