"""How many bytes the next garbage collection frees when some images are gone: each blob counted once. Reads only.

It has to come to the same as `mark` and `gc` do: what any manifest names stays, also one that can still be restored,
what a fresh link protects, and what repositories link whose manifests cannot all be read.
"""

from collections.abc import Iterator, Sequence

from registry.cleanup.inventory import Image, Step
from registry.cleanup.mark import DigestSet, Marker
from registry.cleanup.pace import Pace
from registry.content import keyspace, walk
from registry.content.digest import Digest
from registry.content.side_by_side import batches, side_by_side
from registry.content.walk import Entry
from storage_backends.base import StorageBackend

_BATCH = 64


class Freeing:
    """One sum. Links and bytes that are younger than `since` (seconds since the epoch) stay; `held` are repositories
    that keep all of their blobs. Calls `step` now and then.
    """

    def __init__(self, backend: StorageBackend, since: float, step: Step) -> None:
        self.held: set[str] = set()
        self._needed = DigestSet()
        self._backend = backend
        self._since = since
        self._step = step

    async def begin(self) -> None:
        """Look at what was deleted before and can still be restored."""
        marker = Marker(self._backend, self._since, Pace(1))
        async for name in walk.names(self._backend, keyspace.OWN_REPOSITORIES):
            async for _ in marker.restorable(name, self._needed):
                await self._step()

    def keep(self, image: Image) -> None:
        """An image stays, with all that it names."""
        for digest in _contents(image):
            self._needed.add(digest)

    async def freed(self, gone: Sequence[Image]) -> int:
        """The sum, in bytes, for images that are gone (or would be)."""
        if gone:
            async for name in walk.names(self._backend, keyspace.REPOSITORIES):
                await self._look_at_links(name)
        freed = 0
        for image in gone:
            freed += await self._own(image)
            await self._step()
        return freed

    async def _look_at_links(self, name: str) -> None:
        async def is_fresh(entry: Entry) -> bool:
            found = await walk.stat_if_there(self._backend, entry.key)
            return found is not None and (found.modified >= self._since or name in self.held)

        links = walk.by_digest(self._backend, keyspace.layers(name), "/link")
        async for batch in batches(self._backend, links, _BATCH):
            asked = [entry for entry in batch if entry.digest is not None and entry.digest not in self._needed]
            for entry, fresh in zip(asked, await side_by_side(self._backend, is_fresh, asked), strict=True):
                if fresh and entry.digest is not None:
                    self._needed.add(entry.digest)
            await self._step()

    async def _own(self, image: Image) -> int:
        """Bytes of what nobody needs but this image, or one that comes after it."""
        total = 0
        for digest in _contents(image):
            if digest not in self._needed:
                self._needed.add(digest)  # it is counted once
                found = await walk.stat_if_there(self._backend, keyspace.blob(digest))
                if found is not None and found.modified < self._since:
                    total += found.size
        return total


def _contents(image: Image) -> Iterator[Digest]:
    yield image.digest
    yield from image.named
