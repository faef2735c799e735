"""One cycle of garbage collection: mark, then shard by shard condemn, look again, claim, remove.

Drives the collector's side of `leases`; what is safe, and why, is said there. What a cycle has removed stays removed if
it is stopped; the next one begins by itself where there is something left.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from dataclasses import asdict, dataclass, field

from registry.cleanup.dangling_referrers import DanglingReferrers
from registry.cleanup.due import done
from registry.cleanup.image_removal import ImageRemoval
from registry.cleanup.image_removal import Options as RemovalOptions
from registry.cleanup.leftovers import Leftovers
from registry.cleanup.mark import Marker
from registry.cleanup.pace import Pace
from registry.cleanup.removal import Doomed, remove
from registry.content import keyspace, walk
from registry.content.digest import Digest
from registry.content.immutable_tags import Covers, nothing
from registry.content.leases import Collector, storage_time
from registry.content.side_by_side import batches, side_by_side
from storage_backends.base import ObjectInfo, StorageBackend

WORK = "gc"
"""What `due` calls it."""
_MOST_NOTES = 100


@dataclass(frozen=True, slots=True)
class Options:
    """How to collect; times in seconds. `share` of the time is worked; of each tag's past `tag_history` manifests are
    remembered (None: all).
    """

    grace: float = 3600.0
    share: float = 1.0
    lease: float = 300.0
    upload_lifetime: float = 7 * 86400.0
    tag_history: int | None = None
    dangling_referrers: bool = False
    """Whether referrers go whose subject is gone, if no tag that is `immutable` names them."""
    immutable: Covers = nothing
    dry_run: bool = False


@dataclass(slots=True)
class Collected:
    """How far a cycle is, and what has come of it (of a dry run: what would have); sizes in bytes."""

    stage: str = "looking"
    repositories: int = 0
    manifests: int = 0
    links: int = 0
    blobs: int = 0
    removed_links: int = 0
    removed_blobs: int = 0
    freed: int = 0
    removed_sessions: int = 0
    removed_history: int = 0
    removed_trash: int = 0
    removed_referrers: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.removed_blobs} blobs with {self.freed} bytes, {self.removed_links} links, "
            f"{self.removed_sessions} uploads, {self.removed_history} entries of tags' history, "
            f"{self.removed_referrers} referrers"
        )


class Collection:
    """One cycle by `holder` (words that tell people who it is)."""

    def __init__(self, backend: StorageBackend, options: Options, holder: str) -> None:
        self.collected = Collected()
        self._backend = backend
        self._options = options
        self._collector = Collector(backend, holder, options.lease, self._progress)
        self._holder = holder
        self._pace = Pace(options.share)
        self._now = 0.0

    async def run(self) -> AsyncGenerator[Collected, None]:
        """Collect; yields now and then how far it is. Raises `CollectorBusy`, `LeaseLost`, `StorageError`.

        Cancelled or closed it gives the lease back, so that the next one need not wait.
        """
        began = time.monotonic()
        async for _ in self._referrers():
            self.collected.seconds = time.monotonic() - began
            yield self.collected
        self._now = await storage_time(self._backend)
        self.collected.stage = "looking for what is needed"
        try:
            if not self._options.dry_run:
                await self._collector.begin(self._now)
                await self._collector.read_intents()
            async for _ in self._cycle():
                self.collected.seconds = time.monotonic() - began
                yield self.collected
                if not self._options.dry_run:
                    await self._collector.beat()
            self.collected.stage = "done"
            if not self._options.dry_run:
                await self._collector.end(str(self.collected))
        except BaseException:
            await self._collector.stop()
            raise
        if not self._options.dry_run:
            await done(self._backend, WORK, {**self._progress(), "notes": self.collected.notes[:_MOST_NOTES]})
        yield self.collected

    def _progress(self) -> dict[str, object]:
        """How far it is, in few bytes: every push reads them."""
        return {name: value for name, value in asdict(self.collected).items() if name != "notes"}

    async def _referrers(self) -> AsyncIterator[None]:
        """Remove referrers whose subject is gone, before what they need is looked for."""
        options = self._options
        if not options.dangling_referrers:
            return
        self.collected.stage = "looking for referrers whose subject is gone"
        removal = ImageRemoval(
            self._backend,
            DanglingReferrers(self._backend, options.immutable, options.grace),
            RemovalOptions(options.grace, options.grace, options.lease, options.share, options.dry_run),
            self._holder,
        )
        async for _ in removal.run():
            yield
        self.collected.removed_referrers = len(removal.removed.going)
        self.collected.notes += removal.removed.notes

    async def _cycle(self) -> AsyncIterator[None]:
        since, dry_run = self._now - self._options.grace, self._options.dry_run
        marker = Marker(self._backend, since, self._pace, dry_run=dry_run)
        async for _ in marker.run():
            self._count(marker)
            yield
        self._count(marker)
        self.collected.notes += marker.marked.held
        algorithms = await self._shards()
        for shard in sorted({*marker.marked.dead, *(shard for shards in algorithms.values() for shard in shards)}):
            self.collected.stage = f"removing {shard}/ff"
            yield
            doomed = {digest: Doomed(links) for digest, links in marker.marked.dead.pop(shard, {}).items()}
            for algorithm in [name for name, shards in algorithms.items() if shard in shards]:
                async for found in self._dead_blobs(algorithm, shard, marker):
                    doomed.setdefault(found[0], Doomed()).blob = found[1]
                    yield
            async for _ in self._remove(shard, doomed):
                yield
        async for _ in self._leftovers():
            await self._pace.rest()
            yield

    async def _leftovers(self) -> AsyncIterator[None]:
        self.collected.stage = "removing leftovers"
        leftovers = Leftovers(self._backend, self._now, dry_run=self._options.dry_run)
        async for count in leftovers.sessions(self._options.upload_lifetime):
            self.collected.removed_sessions += count
            yield
        async for count in leftovers.tag_history(self._options.tag_history, self._now - self._options.grace):
            self.collected.removed_history += count
            yield
        async for count in leftovers.trash(self._now - self._options.grace):
            self.collected.removed_trash += count
            yield
        async for _ in leftovers.turns(self._options.upload_lifetime):
            yield
        async for _ in leftovers.empty_repositories():
            yield

    async def _shards(self) -> dict[str, set[str]]:
        """The shards in which there are blobs, by algorithm."""
        algorithms = [name async for name in walk.children(self._backend, keyspace.BLOBS)]
        return {
            algorithm: {name async for name in walk.children(self._backend, f"{keyspace.BLOBS}{algorithm}/")}
            for algorithm in algorithms
        }

    def _count(self, marker: Marker) -> None:
        marked, collected = marker.marked, self.collected
        collected.repositories, collected.manifests, collected.links = (
            marked.repositories,
            marked.manifests,
            marked.links,
        )

    async def _dead_blobs(self, algorithm: str, shard: str, marker: Marker) -> AsyncIterator[tuple[Digest, ObjectInfo]]:
        """The blobs that nobody needs, and that have not just been pushed."""
        prefix = keyspace.blobs(algorithm, shard)
        async for batch in batches(self._backend, walk.children(self._backend, prefix), 64):
            self.collected.blobs += len(batch)
            digests = [walk.parsed(f"{algorithm}:{encoded}") for encoded in batch]
            unneeded = [
                digest
                for digest in digests
                # what lies in the wrong shard would be condemned where no writer looks
                if digest is not None and digest.encoded.startswith(shard) and digest not in marker.marked.needed
            ]
            infos = await side_by_side(self._backend, self._blob, unneeded)
            for digest, info in zip(unneeded, infos, strict=True):
                if info is not None and info.modified < self._now - self._options.grace:
                    yield digest, info
            await self._pace.rest()

    async def _blob(self, digest: Digest) -> ObjectInfo | None:
        entry = walk.Entry(keyspace.blob(digest), digest)
        found = await walk.stat_if_there(self._backend, entry.key)
        if found is None:
            await walk.is_empty(self._backend, entry, dry_run=self._options.dry_run)
        return found

    async def _remove(self, shard: str, doomed: Mapping[Digest, Doomed]) -> AsyncIterator[None]:
        if not doomed:
            return
        if self._options.dry_run:
            self._add_up(doomed.values())
            return
        async for gone in remove(self._backend, self._collector, shard, doomed):
            self._add_up(gone.values())
            await self._pace.rest()
            yield

    def _add_up(self, gone: Iterable[Doomed]) -> None:
        for item in gone:
            self.collected.removed_links += len(item.keys)
            if item.blob is not None:
                self.collected.removed_blobs += 1
                self.collected.freed += item.blob.size
