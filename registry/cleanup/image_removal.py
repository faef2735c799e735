"""Removing images, or only some of their tags: one piece of code for whoever chooses them, `prune` or `retention`.

A plan is made repository by repository while the collector's lease is held, and carried out by the protocol of garbage
collection (`registry.content.leases`): what somebody pushes, tags, refers to or puts into an index meanwhile stays, and
all that it needs. What holds others goes before them, so that a run which is killed leaves nothing whose parts are
missing. The bytes go with the next garbage collection, if nobody else needs them.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from registry.cleanup import inventory
from registry.cleanup.freeing import Freeing
from registry.cleanup.inventory import Image, Inventory, Step
from registry.cleanup.pace import Pace
from registry.cleanup.removal import Doomed, remove
from registry.content import keyspace, walk
from registry.content.digest import Digest
from registry.content.leases import Collector, storage_time
from registry.content.names import RepositoryName, Tag
from registry.content.pull_times import PullTimes
from registry.content.side_by_side import side_by_side
from registry.content.trash import Deleted, Trash
from storage_backends.base import StorageBackend


@dataclass(frozen=True, slots=True)
class Going:
    """An image that loses `tags`; with `whole` the image itself goes, too."""

    image: Image
    tags: tuple[str, ...]
    whole: bool = True
    reason: str = ""


class Chooser(Protocol):
    """Whoever says what goes."""

    async def choose(self, found: Inventory, now: float, step: Step) -> Sequence[Going]:
        """What goes of a repository all of whose manifests can be read; `now` is the time of the storage. Calls `step`
        now and then.
        """
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """Times in seconds. What is younger than `grace` holds its bytes in any case. For `restorable` what goes can be
    restored, 0 if it goes for good; `share` of the time is worked.
    """

    grace: float = 3600.0
    restorable: float = 3600.0
    lease: float = 300.0
    share: float = 1.0
    dry_run: bool = False


@dataclass(slots=True)
class Removed:
    """What went (in a dry run: would go). `freed` (bytes) is what the next garbage collection frees by it, or, while it
    can be restored, the first one after that.
    """

    going: list[Going] = field(default_factory=list)
    freed: int = 0
    notes: list[str] = field(default_factory=list)


class ImageRemoval:
    """One run by `holder` (words that tell people who it is)."""

    def __init__(self, backend: StorageBackend, chooser: Chooser, options: Options, holder: str) -> None:
        self.removed = Removed()
        self._backend = backend
        self._chooser = chooser
        self._options = options
        self._collector = Collector(backend, holder, options.lease)
        self._pace = Pace(options.share)
        self._pulls = PullTimes(backend)
        self._trash = Trash(backend, options.restorable)
        self._now = 0.0
        self._at_work = False
        self._below: dict[Digest, set[Digest]] = defaultdict(set)

    async def run(self) -> AsyncGenerator[str, None]:
        """Remove; yields now and then where it is. Raises `CollectorBusy`, `LeaseLost`, `StorageError`.

        Cancelled or closed it gives the lease back, so that the next one need not wait.
        """
        self._now = await storage_time(self._backend)
        try:
            async for where in self._run():
                yield where
        except BaseException:
            await self._collector.stop()
            raise

    async def _run(self) -> AsyncIterator[str]:
        if not self._options.dry_run:
            await self._collector.begin(self._now)
            self._at_work = True
            await self._collector.read_intents()
        freeing = Freeing(self._backend, self._now - self._options.grace, self._step)
        await freeing.begin()
        planned: list[Going] = []
        async for name in walk.names(self._backend, keyspace.REPOSITORIES):
            yield f"looking into {name}"
            planned += await self._plan(name, freeing)
        if self._options.dry_run:
            self.removed.going = planned
        else:
            async for where in self._carry_out(planned, freeing):
                yield where
            self._at_work = False
            await self._collector.end(f"removed {sum(going.whole for going in self.removed.going)} images")
        yield "adding up"
        self.removed.freed = await freeing.freed([going.image for going in self.removed.going if going.whole])

    async def _plan(self, name: str, freeing: Freeing) -> Sequence[Going]:
        """What goes of a repository; what the rest of it needs is told to `freeing`."""
        found = await inventory.read(self._backend, name, self._step)
        going: Sequence[Going] = ()
        if found.unreadable is None:
            going = await self._chooser.choose(found, self._now, self._step)
        else:
            freeing.held.add(name)
            self.removed.notes.append(
                f"{name} is left alone: its manifest {found.unreadable} is damaged or missing, and may need others"
            )
        whole = {one.image.digest for one in going if one.whole}
        for digest, image in found.images.items():
            if digest not in whole:
                freeing.keep(image)
            else:
                below = found.children.get(digest, frozenset()) | found.referrers.get(digest, frozenset())
                self._below[digest] |= below & whole
        return going

    async def _carry_out(self, planned: Sequence[Going], freeing: Freeing) -> AsyncIterator[str]:
        by_digest: dict[Digest, list[Going]] = defaultdict(list)
        for one in planned:
            by_digest[one.image.digest].append(one)
        spared: set[Digest] = set()
        for layer in self._layers(by_digest):
            gone: set[Digest] = set()
            for shard, digests in _shards(layer - spared):
                yield f"removing {shard}/ff"
                async for some in self._remove(shard, {digest: by_digest[digest] for digest in digests}):
                    gone |= some
            spared |= self._all_below(layer - gone)
        for digest in spared:
            for one in by_digest[digest]:
                freeing.keep(one.image)

    async def _remove(self, shard: str, planned: Mapping[Digest, Sequence[Going]]) -> AsyncIterator[set[Digest]]:
        """Remove these, but for what was pulled since they were chosen; yields what is gone, some at a time."""

        async def is_unused(digest: Digest) -> bool:
            last = [await self._pulls.last(one.image.repository, digest) for one in planned[digest]]
            return max(last) < self._now

        digests = list(planned)
        unused = await side_by_side(self._backend, is_unused, digests)
        doomed = {digest: self._doomed(planned[digest]) for digest, free in zip(digests, unused, strict=True) if free}
        if not doomed:
            return
        async for gone in remove(self._backend, self._collector, shard, doomed):
            for digest, item in gone.items():
                for one in planned[digest]:
                    tags = tuple(tag for name, tag in item.tags if name == one.image.repository)
                    self.removed.going.append(replace(one, tags=tags))
            await self._step()
            yield set(gone)

    def _doomed(self, planned: Iterable[Going]) -> Doomed:
        """Of one digest what goes in all repositories."""
        keys: list[str] = []
        tags: list[tuple[RepositoryName, Tag]] = []
        deleted = []
        for one in planned:
            image, name = one.image, RepositoryName(one.image.repository)
            tags += [(name, Tag(tag)) for tag in one.tags]
            keys += _keys(image) if one.whole else []
            media_type = image.media_type if one.whole else ""
            deleted.append(Deleted(name, image.digest, one.tags, media_type, image.subject))
        return Doomed(keys, tags=tags, records=self._trash.records(deleted))

    def _layers(self, digests: Iterable[Digest]) -> Iterator[set[Digest]]:
        """The digests, each behind all that hold it; those that hold each other come at the end, together."""
        left = set(digests)
        while left:
            below = {digest for above in left for digest in self._below.get(above, ()) if digest != above}
            layer = left - below or left
            yield layer
            left = left - layer

    def _all_below(self, digests: Iterable[Digest]) -> set[Digest]:
        found: set[Digest] = set()
        waiting = list(digests)
        while waiting:
            digest = waiting.pop()
            if digest not in found:
                found.add(digest)
                waiting += self._below.get(digest, ())
        return found

    async def _step(self) -> None:
        if self._at_work:
            await self._collector.beat()
        await self._pace.rest()


def _shards(digests: Iterable[Digest]) -> list[tuple[str, list[Digest]]]:
    shards: dict[str, list[Digest]] = defaultdict(list)
    for digest in sorted(digests):
        shards[digest.encoded[:2]].append(digest)
    return sorted(shards.items())


def _keys(image: Image) -> list[str]:
    keys = [keyspace.revision_link(image.repository, image.digest), keyspace.media_type(image.repository, image.digest)]
    if image.subject is not None:
        keys.append(keyspace.referrer(image.repository, image.subject, image.digest))
    return keys
