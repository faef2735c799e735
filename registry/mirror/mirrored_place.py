"""A registry elsewhere as the repositories of ours that mirror it see it: under our names, within what may be mirrored.

Whatever goes wrong over there becomes one of the domain's `Place…` errors here, and the upstream's state is kept.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

from registry.content.digest import Digest
from registry.content.errors import (
    ContentCorrupt,
    ContentError,
    DigestInvalid,
    ManifestUnknown,
    PlaceCorrupt,
    PlaceMisbehaved,
    PlaceRateLimited,
    PlaceRefused,
    PlaceUnavailable,
)
from registry.content.manifest_store import StoredManifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.places import OpenBlob, Referrer, Source
from registry.mirror.errors import (
    CredentialsInvalid,
    MirrorError,
    RateLimited,
    UpstreamDenied,
    UpstreamUnavailable,
)
from registry.mirror.routes import Route
from registry.mirror.upstream_state import UpstreamState

_DEFAULT_LIMIT_SECONDS = 60
_MOST_TAGS = 1_000_000


class SizedSource(Source, Protocol):
    """A source that can say how large a blob is, and send a part of it."""

    async def blob_size(self, name: RepositoryName, digest: Digest) -> int:
        """The size of a blob in bytes. Raises `BlobUnknown`."""
        ...

    async def blob_part(self, name: RepositoryName, digest: Digest, start: int, length: int) -> bytes:
        """So many bytes of a blob from `start` on, or none if it cannot send parts. Raises `BlobUnknown`."""
        ...


class MirroredPlace:
    """What `route` leads to. Every call raises `NotMirrored`, and `PlaceUnavailable` or `PlaceRefused`."""

    def __init__(self, route: Route, upstream: SizedSource, state: UpstreamState) -> None:
        self.route = route
        self.state = state
        self._upstream = upstream

    async def resolve(self, name: RepositoryName, reference: Reference) -> Digest:
        """The digest that a reference names now. Raises `ManifestUnknown`."""
        with self._asking(name) as there:
            return await self._upstream.resolve(there, reference)

    async def resolve_if_there(self, name: RepositoryName, tag: Tag) -> Digest | None:
        """The digest that a tag names now; None if there is no such tag."""
        try:
            return await self.resolve(name, tag)
        except ManifestUnknown:
            return None

    async def manifest(self, name: RepositoryName, digest: Digest) -> StoredManifest:
        """A manifest, whose bytes have this digest. Raises `ManifestUnknown`."""
        with self._asking(name) as there:
            found = await self._upstream.manifest(there, digest)
            if Digest.of(found.data, digest.algorithm) != digest:
                raise DigestInvalid(f"the manifest {digest} has another digest")
        self.state.count("manifests fetched")
        return StoredManifest(digest, found.media_type, found.data)

    async def blob_size(self, name: RepositoryName, digest: Digest) -> int:
        """The size of a blob in bytes. Raises `BlobUnknown`."""
        with self._asking(name) as there:
            return await self._upstream.blob_size(there, digest)

    async def blob_part(self, name: RepositoryName, digest: Digest, start: int, length: int) -> bytes:
        """So many bytes of a blob from `start` on, or none if the upstream sends no parts. Raises `BlobUnknown`."""
        with self._asking(name) as there:
            return await self._upstream.blob_part(there, digest, start, length)

    @asynccontextmanager
    async def blob(self, name: RepositoryName, digest: Digest, start: int = 0) -> AsyncIterator[OpenBlob]:
        """Open a blob at byte `start`. Entering raises `BlobUnknown`."""
        with self._asking(name) as there:
            async with self._upstream.blob(there, digest, start) as opened:
                yield opened

    async def tags(self, name: RepositoryName) -> list[Tag]:
        """All tags of a repository. Raises `NameUnknown`, and `PlaceUnavailable` if there is no end of them."""
        found: list[Tag] = []
        with self._asking(name) as there:
            async for tag in self._upstream.tags(there):
                found.append(tag)
                if len(found) > _MOST_TAGS:
                    raise PlaceUnavailable(f"{self.route.host} has more than {_MOST_TAGS} tags of {there}")
        return found

    async def referrers(self, name: RepositoryName, subject: Digest, most: int) -> list[Referrer]:
        """What refers to a manifest, at most so many."""
        found: list[Referrer] = []
        with self._asking(name) as there:
            async for referrer in self._upstream.referrers(there, subject):
                found.append(referrer)
                if len(found) == most:
                    break
        return found

    @contextmanager
    def _asking(self, name: RepositoryName) -> Iterator[RepositoryName]:
        """The repository's name over there; what goes wrong is translated."""
        there = self.route.upstream_name(name)
        self.state.check()
        with self.state.asking():
            try:
                yield there
            except MirrorError as error:
                failure = _translated(error)
                if isinstance(error, UpstreamUnavailable):
                    # what has a cause comes from the network, what has none is an answer: of one request, or one blob
                    self.state.failed(failure, unreachable=error.__cause__ is not None)
                elif isinstance(failure, PlaceMisbehaved):
                    self.state.count("failed")
                    self.state.answered()  # to what one client has asked for; it says nothing of what others ask for
                else:
                    self.state.count("denied")
                raise failure from error
            except (ContentCorrupt, DigestInvalid) as error:
                self.state.count("wrong digests")
                raise PlaceCorrupt(
                    f"{self.route.host} sends other bytes than their digest says: {error.message}"
                ) from error
            except ContentError:
                self.state.answered()  # what it says no to is not there
                raise
        self.state.answered()


def _translated(error: MirrorError) -> ContentError:
    match error:
        case RateLimited(retry_after=seconds):
            return PlaceRateLimited(error.message, round(seconds or _DEFAULT_LIMIT_SECONDS))
        case UpstreamUnavailable(retry_after=seconds):
            return PlaceUnavailable(error.message, round(seconds or 5))
        case UpstreamDenied() | CredentialsInvalid():
            return PlaceRefused(error.message)
    return PlaceMisbehaved(error.message)
