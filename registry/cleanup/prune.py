"""Removing images, in docker's words: dangling ones, or all that nobody has used for a while.

A plan is made while the collector's lease is held, and carried out by the same protocol as garbage collection: an image
that somebody pushes, tags or puts into an index meanwhile stays. The bytes go with the next garbage collection.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from registry.cleanup import inventory, repositories
from registry.cleanup.filters import Filters
from registry.cleanup.inventory import Image, Inventory
from registry.cleanup.mark import DigestSet
from registry.cleanup.removal import Doomed, remove
from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.errors import NameInvalid
from registry.content.immutable_tags import Covers
from registry.content.leases import Collector, storage_time
from registry.content.names import RepositoryName, Tag
from registry.content.pull_times import PullTimes
from storage_backends.base import StorageBackend
from storage_backends.errors import NotFound


@dataclass(frozen=True, slots=True)
class Options:
    """What to prune; times in seconds. What is younger than `grace` always stays."""

    filters: Filters
    every: bool = False
    """Also images that have tags, if nobody has used them since the time that the filters name."""
    grace: float = 3600.0
    lease: float = 300.0
    dry_run: bool = False


@dataclass(slots=True)
class Pruned:
    """What went (in a dry run: would go); `freed` is what the next garbage collection frees by it, in bytes."""

    images: list[Image] = field(default_factory=list)
    freed: int = 0
    notes: list[str] = field(default_factory=list)


class Pruning:
    """One run by `holder`. Tags that `immutable` covers are never taken."""

    def __init__(self, backend: StorageBackend, options: Options, immutable: Covers, holder: str) -> None:
        self.pruned = Pruned()
        self._backend = backend
        self._options = options
        self._immutable = immutable
        self._collector = Collector(backend, holder, options.lease)
        self._pulls = PullTimes(backend)
        self._since = 0.0
        self._now = 0.0

    async def run(self) -> AsyncIterator[str]:
        """Prune; yields now and then where it is. Raises `CollectorBusy`, `LeaseLost`, `StorageError`."""
        self._now = await storage_time(self._backend)
        self._since = await self._pulls.since()
        if not self._options.dry_run:
            await self._collector.begin(self._now)
            await self._collector.read_intents()
        planned: list[Image] = []
        needed = DigestSet()
        async for name in repositories.names(self._backend, keyspace.REPOSITORIES):
            yield f"looking into {name}"
            await self._beat()
            going = await self._plan(await inventory.read(self._backend, name), needed)
            planned += going
        if self._options.dry_run:
            self.pruned.images = planned
        else:
            async for shard in self._remove(planned):
                yield f"removing {shard}/ff"
            await self._collector.end(f"pruned {len(self.pruned.images)} images")
        self.pruned.freed = await self._freed(needed)

    async def _plan(self, found: Inventory, needed: DigestSet) -> list[Image]:
        """What goes of a repository; what the rest of it needs is added to `needed`."""
        going: set[Digest] = set()
        unreadable = [image for image in found.images.values() if image.manifest is None]
        if unreadable:
            self.pruned.notes.append(
                f"{found.name} is left alone: manifest {unreadable[0].digest} cannot be read, and may need others"
            )
        elif self._options.filters.takes_repository(found.name):
            eligible = {image.digest for image in found.images.values() if await self._may_go(image)}
            going = eligible - found.needed_by([digest for digest in found.images if digest not in eligible])
        for digest, image in found.images.items():
            if digest not in going:
                needed.add(digest)
                for descriptor in (*image.blobs, *image.children):
                    needed.add(descriptor.digest)
        return [found.images[digest] for digest in sorted(going)]

    async def _may_go(self, image: Image) -> bool:
        options = self._options
        if image.pushed >= self._now - options.grace or (image.tags and not options.every):
            return False
        if image.tags and self._is_protected(image):
            return False
        if not options.filters.takes_tags(image.tags):
            return False
        if options.filters.until is not None and await self._last_used(image) >= options.filters.until:
            return False
        return not options.filters.asks_for_labels or options.filters.takes_labels(
            await inventory.labels(self._backend, image)
        )

    def _is_protected(self, image: Image) -> bool:
        try:
            covers = self._immutable(RepositoryName.parse(image.repository))
        except NameInvalid:
            return True  # nobody can have said anything about it
        return covers is not None and any(covers(tag) for tag in image.tags)

    async def _last_used(self, image: Image) -> float:
        """When it was pushed or pulled, or something that it holds was pulled."""
        pulls = [await self._pulls.last(image.repository, image.digest)]
        pulls += [await self._pulls.last(image.repository, child.digest) for child in image.children]
        return max(image.pushed, self._since, *pulls)

    async def _remove(self, planned: list[Image]) -> AsyncIterator[str]:
        doomed: dict[str, dict[Digest, Doomed]] = {}
        for image in planned:
            item = doomed.setdefault(image.digest.encoded[:2], {}).setdefault(image.digest, Doomed())
            item.keys = (*item.keys, *_keys(image))
            name = RepositoryName(image.repository)
            item.tags = (*item.tags, *((name, Tag(tag)) for tag in image.tags))
        by_digest: dict[Digest, list[Image]] = {}
        for image in planned:
            by_digest.setdefault(image.digest, []).append(image)
        for shard, items in sorted(doomed.items()):
            async for gone in remove(self._backend, self._collector, shard, items):
                self.pruned.images += [image for digest in gone for image in by_digest[digest]]
                yield shard

    async def _beat(self) -> None:
        if not self._options.dry_run:
            await self._collector.beat()

    async def _freed(self, needed: DigestSet) -> int:
        """Bytes that only what went has needed, each blob counted once."""
        sizes: dict[Digest, int] = {}
        for image in self.pruned.images:
            sizes[image.digest] = image.size
            for blob in image.blobs:
                if blob.digest not in sizes:
                    sizes[blob.digest] = await self._size(blob.digest)
        return sum(size for digest, size in sizes.items() if digest not in needed)

    async def _size(self, digest: Digest) -> int:
        try:
            return (await self._backend.stat(keyspace.blob(digest))).size
        except NotFound:
            return 0  # a foreign layer


def _keys(image: Image) -> list[str]:
    keys = [keyspace.revision_link(image.repository, image.digest), keyspace.media_type(image.repository, image.digest)]
    if image.subject is not None:
        keys.append(keyspace.referrer(image.repository, image.subject, image.digest))
    return keys
