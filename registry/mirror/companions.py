"""What belongs to an image without being part of it: signatures, attestations, bills of materials. They are fetched by
themselves after the image, so that it can be verified when the upstream is out of reach.

Two ways to find them: the referrers API (or its tag schema, which the upstream's client looks at), and the tags that
cosign gives what it attaches. Source of the latter: github.com/sigstore/cosign, specs/SIGNATURE_SPEC.md.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from registry.content.digest import Digest
from registry.content.errors import ContentError, ManifestUnknown
from registry.content.manifests import parse_manifest
from registry.content.names import Reference, RepositoryName, cosign_tags
from registry.content.repository import Registry
from registry.mirror.blob_fetching import BlobFetching
from registry.mirror.mirrored_place import MirroredPlace
from storage_backends.errors import StorageError

_MOST = 100
_AT_ONCE = 2
_MOST_WAITING = 1000
_log = logging.getLogger(__name__)

Fetch = Callable[[MirroredPlace, RepositoryName, Reference], Awaitable[None]]


class Companions:
    """Fetches companions in the background, a few images' at a time; `fetch` brings a manifest."""

    def __init__(self, local: Registry, blobs: BlobFetching, fetch: Fetch) -> None:
        self._local = local
        self._blobs = blobs
        self._fetch = fetch
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._fetched: set[Digest] = set()
        """Companions that are being fetched, whose own are not looked for."""

    def fetch_later(self, place: MirroredPlace, name: RepositoryName, digest: Digest) -> None:
        """Begin to fetch what belongs to an image; not if too much is waiting already."""
        if digest in self._fetched or len(self._tasks) >= _MOST_WAITING:
            return
        task = asyncio.create_task(self._bring(place, name, digest))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bring(self, place: MirroredPlace, name: RepositoryName, digest: Digest) -> None:
        async with self._places:
            companions: list[Reference] = []
            with _noting(name, digest):
                companions += [referrer.digest for referrer in await place.referrers(name, digest, _MOST)]
            for companion in (*companions, *cosign_tags(digest)):
                with _noting(name, digest):
                    await self._with_blobs(place, name, companion)

    async def _with_blobs(self, place: MirroredPlace, name: RepositoryName, reference: Reference) -> None:
        digest = reference if isinstance(reference, Digest) else await place.resolve_if_there(name, reference)
        if digest is None:
            return
        self._fetched.add(digest)
        try:
            await self._fetch(place, name, reference)
        except ManifestUnknown:
            return  # listed, and gone
        finally:
            self._fetched.discard(digest)
        stored = await self._local.get_manifest(name, digest, is_pull=False)
        for blob in parse_manifest(stored.data, stored.media_type).blobs:
            if not await self._local.blobs.has(name, blob.digest):
                await self._blobs.fetch(place, name, blob.digest)
        place.state.count("companions fetched")


@contextmanager
def _noting(name: RepositoryName, digest: Digest) -> Iterator[None]:
    """One companion that cannot be fetched keeps nobody from the others."""
    try:
        yield
    except (ContentError, StorageError) as error:
        _log.info("what belongs to %s@%s could not all be fetched: %s", name, digest, error)
