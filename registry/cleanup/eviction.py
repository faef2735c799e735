"""Since when images have to have been used in order to stay, where they are a cache: by age, and by the room they take.

Reads only. What goes then is `prune`'s to choose, which takes those that nobody has used since that time.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from registry.cleanup import inventory
from registry.cleanup.filters import Filters
from registry.cleanup.inventory import Inventory, Step
from registry.content import keyspace, walk
from registry.content.digest import Digest
from registry.content.pull_times import INEXACT_SECONDS, PullTimes
from registry.name_patterns import NamePattern
from storage_backends.base import StorageBackend


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """What is a cache, as patterns of repositories, and what of it is none; for how many seconds an image stays unused,
    and how many bytes all of them take together (0: any).
    """

    repositories: Sequence[NamePattern]
    keep: float = 0.0
    most: int = 0
    lasting: Sequence[NamePattern] = ()


@dataclass(frozen=True, slots=True)
class _Cached:
    """An image that stands for itself, with what is below it: when it was used last, and what it needs."""

    used: float
    contents: frozenset[Digest]


class Eviction:
    """Looks at the caches of a storage; calls `step` now and then."""

    def __init__(self, backend: StorageBackend, limits: CacheLimits, step: Step) -> None:
        self._backend = backend
        self._limits = limits
        self._step = step
        self._filters = Filters(repositories=limits.repositories, not_repositories=limits.lasting)

    async def filters(self, now: float) -> Filters | None:
        """What has to go at the time `now` (of the storage); None if nothing has to."""
        moments = [now - self._limits.keep] if self._limits.keep else []
        if self._limits.most:
            moment = await self._full_since()
            moments += [] if moment is None else [moment]
        return replace(self._filters, until=max(moments)) if moments else None

    async def _full_since(self) -> float | None:
        """What was used after this moment has room; None if everything has."""
        cached = [image async for image in self._images()]
        needs = Counter(digest for image in cached for digest in image.contents)
        sizes = {digest: await self._size(digest) for digest in needs}
        total = sum(sizes.values())
        moment = None
        for image in sorted(cached, key=lambda image: image.used):
            if total <= self._limits.most:
                break
            moment = image.used + 1.0
            needs.subtract(image.contents)
            total -= sum(sizes[digest] for digest in image.contents if not needs[digest])
        return moment

    async def _images(self) -> AsyncIterator[_Cached]:
        pulls = PullTimes(self._backend)
        since = await pulls.since() or 0.0
        async for name in walk.names(self._backend, keyspace.REPOSITORIES):
            if not self._filters.takes_repository(name):
                continue
            found = await inventory.read(self._backend, name, self._step)
            for root in found.roots:
                pulled = [await pulls.last(name, part) for part in found.parts(root)]
                used = max(found.images[root].pushed, since, INEXACT_SECONDS + max(pulled))
                yield _Cached(used, _contents(found, root))
                await self._step()

    async def _size(self, digest: Digest) -> int:
        info = await walk.stat_if_there(self._backend, keyspace.blob(digest))
        await self._step()
        return info.size if info is not None else 0  # it was never asked for


def _contents(found: Inventory, root: Digest) -> frozenset[Digest]:
    below = found.below([root])
    return frozenset(below | {named for digest in below for named in found.images[digest].named})
