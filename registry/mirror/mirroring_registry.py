"""A registry of which some repositories mirror others: to whoever asks it looks like any registry.

Decides for each name whether it is answered by `local` alone or through its upstream, which costs a look into a
dictionary; holds no other rule.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from registry.content import catalog
from registry.content.bodies import Body
from registry.content.catalog import View
from registry.content.digest import CANONICAL, Digest
from registry.content.errors import BlobUnknown, MirrorReadOnly
from registry.content.manifest_store import StoredManifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.paging import Page
from registry.content.referrer_index import ReferrersPage
from registry.content.repository import Expected, PushedManifest, Registry, Rules
from registry.content.upload_sessions import ChunkRange, Session
from registry.mirror.blob_fetching import BlobFetching
from registry.mirror.mirrored_place import MirroredPlace
from registry.mirror.pull_through import PullThrough
from registry.mirror.routes import Route, Routes
from storage_backends.sendable import Sendable


class Mirrors:
    """The places that repositories mirror, by name. Those on the routes `ours` mirror none, whatever is around them."""

    def __init__(self, places: Sequence[MirroredPlace], ours: Sequence[Route] = ()) -> None:
        self._places: Mapping[Route, MirroredPlace] = {place.route: place for place in places}
        self._routes = Routes([*self._places, *ours])

    def find(self, name: str) -> MirroredPlace | None:
        """What a repository mirrors; None if it is only ours."""
        route = self._routes.find(name)
        return None if route is None else self._places.get(route)

    def check_ours(self, name: str) -> None:
        """Raise `MirrorReadOnly` if a repository mirrors another."""
        place = self.find(name)
        if place is not None:
            route = place.route
            raise MirrorReadOnly(
                f"{name} mirrors {route.host}: push to {route.host}, or here under a name that does not begin with"
                f" {route.prefix}/",
                {"name": name},
            )


class MirroringBlobs:
    """Blobs, ours and those that can be fetched; see `ServedBlobs`."""

    def __init__(self, local: Registry, mirrors: Mirrors, fetching: BlobFetching) -> None:
        self._local = local.blobs
        self._mirrors = mirrors
        self._fetching = fetching

    async def size(self, name: RepositoryName, digest: Digest, *, renew: bool = False) -> int:
        """See `ServedBlobs`. What is not here is asked for, and not fetched."""
        try:
            return await self._local.size(name, digest, renew=renew)
        except BlobUnknown:
            place = self._mirrors.find(name)
            if place is None:
                raise
            return await place.blob_size(name, digest)

    async def open(self, name: RepositoryName, digest: Digest, start: int = 0, length: int | None = None) -> Sendable:
        """See `ServedBlobs`. What is not here comes while it is fetched."""
        try:
            return await self._local.open(name, digest, start, length)
        except BlobUnknown:
            place = self._mirrors.find(name)
            if place is None:
                raise
            return await self._fetching.open(place, name, digest, start, length)

    async def presign(self, name: RepositoryName, digest: Digest) -> str | None:
        """See `ServedBlobs`."""
        if self._mirrors.find(name) is not None and not await self._local.has(name, digest):
            return None
        return await self._local.presign(name, digest)


class MirroringUploads:
    """Uploads into repositories that mirror nothing; see `ServedUploads`."""

    def __init__(self, local: Registry, mirrors: Mirrors) -> None:
        self._local = local.uploads
        self._mirrors = mirrors

    async def begin(self, name: RepositoryName, algorithm: str = CANONICAL) -> Session:
        """See `ServedUploads`. Raises `MirrorReadOnly`."""
        self._mirrors.check_ours(name)
        return await self._local.begin(name, algorithm)

    async def offset(self, session: Session) -> int:
        """See `ServedUploads`. Raises `MirrorReadOnly`."""
        self._mirrors.check_ours(session.name)
        return await self._local.offset(session)

    async def append(self, session: Session, body: Body, chunk: ChunkRange | None = None) -> int:
        """See `ServedUploads`. Raises `MirrorReadOnly`."""
        self._mirrors.check_ours(session.name)
        return await self._local.append(session, body, chunk)

    async def finish(self, session: Session, digest: Digest, body: Body, chunk: ChunkRange | None = None) -> None:
        """See `ServedUploads`. Raises `MirrorReadOnly`."""
        self._mirrors.check_ours(session.name)
        await self._local.finish(session, digest, body, chunk)

    async def push(self, name: RepositoryName, digest: Digest, body: Body) -> None:
        """See `ServedUploads`. Raises `MirrorReadOnly`."""
        self._mirrors.check_ours(name)
        await self._local.push(name, digest, body)

    async def cancel(self, session: Session) -> None:
        """See `ServedUploads`. Raises `MirrorReadOnly`."""
        self._mirrors.check_ours(session.name)
        await self._local.cancel(session)


class MirroringRegistry:
    """See `ServedRegistry`."""

    def __init__(self, local: Registry, mirrors: Mirrors, through: PullThrough, fetching: BlobFetching) -> None:
        self.rules: Rules = local.rules
        self.blobs = MirroringBlobs(local, mirrors, fetching)
        self.uploads = MirroringUploads(local, mirrors)
        self._local = local
        self._mirrors = mirrors
        self._through = through

    async def mount(self, name: RepositoryName, digest: Digest, source: RepositoryName | None) -> bool:
        """See `ServedRegistry`. Raises `MirrorReadOnly`."""
        self._mirrors.check_ours(name)
        return await self._local.mount(name, digest, source)

    async def get_manifest(self, name: RepositoryName, reference: Reference, *, is_pull: bool = True) -> StoredManifest:
        """See `ServedRegistry`."""
        place = self._mirrors.find(name)
        if place is None:
            return await self._local.get_manifest(name, reference, is_pull=is_pull)
        return await self._through.get_manifest(place, name, reference, is_pull=is_pull)

    async def put_manifest(
        self,
        name: RepositoryName,
        reference: Reference,
        data: bytes,
        media_type: str | None,
        tags: Sequence[Tag] = (),
        *,
        expected: Expected | None = None,
    ) -> PushedManifest:
        """See `ServedRegistry`. Raises `MirrorReadOnly`."""
        self._mirrors.check_ours(name)
        return await self._local.put_manifest(name, reference, data, media_type, tags, expected=expected)

    async def delete_manifest(self, name: RepositoryName, digest: Digest, expected: Expected | None = None) -> None:
        """See `ServedRegistry`. What was fetched goes from here alone, and comes back when it is asked for."""
        await self._local.delete_manifest(name, digest, expected)

    async def delete_blob(self, name: RepositoryName, digest: Digest) -> None:
        """See `ServedRegistry`; as `delete_manifest`."""
        await self._local.delete_blob(name, digest)

    async def delete_tag(self, name: RepositoryName, tag: Tag, expected: Expected | None = None) -> None:
        """See `ServedRegistry`; as `delete_manifest`."""
        await self._local.delete_tag(name, tag, expected)

    async def tags(self, name: RepositoryName, after: str, limit: int) -> Page:
        """See `ServedRegistry`."""
        place = self._mirrors.find(name)
        if place is None:
            return await self._local.tags(name, after, limit)
        return await self._through.tags(place, name, after, limit)

    async def referrers(
        self, name: RepositoryName, subject: Digest, artifact_type: str | None, after: str, limit: int
    ) -> ReferrersPage:
        """See `ServedRegistry`."""
        place = self._mirrors.find(name)
        if place is None:
            return await self._local.referrers(name, subject, artifact_type, after, limit)
        own_page = partial(self._local.referrers, name, subject, artifact_type, after, limit)
        return await self._through.referrers(place, name, subject, own_page)

    async def repositories(self, after: str, limit: int, view: View = catalog.EVERYTHING) -> Page:
        """See `ServedRegistry`. Of repositories that mirror others those that something was fetched of."""
        return await self._local.repositories(after, limit, view)
