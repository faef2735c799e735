"""Which images go, in docker's words: dangling ones, or all that nobody has used for a while. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass

from registry.cleanup import inventory
from registry.cleanup.filters import Filters
from registry.cleanup.image_removal import Going
from registry.cleanup.inventory import Image, Inventory, Step, in_steps
from registry.content.digest import Digest
from registry.content.errors import NameInvalid
from registry.content.immutable_tags import Covers
from registry.content.names import RepositoryName
from registry.content.pull_times import INEXACT_SECONDS, UNWRITTEN_SECONDS, PullTimes
from storage_backends.base import StorageBackend


@dataclass(frozen=True, slots=True)
class Prune:
    """Chooses for `ImageRemoval`. What was pushed or pulled within `grace` seconds stays, and what has a tag that
    `immutable` covers; with `every` images that have tags are chosen, too, if nobody has used them since the time that
    the filters name.

    What goes takes along what only it needs: the platforms of an index, signatures and other referrers. What refers to
    a manifest elsewhere is not dangling.
    """

    backend: StorageBackend
    filters: Filters
    immutable: Covers
    grace: float = 3600.0
    every: bool = False

    async def choose(self, found: Inventory, now: float, step: Step) -> Sequence[Going]:
        """See `Chooser`."""
        if not self.filters.takes_repository(found.name):
            return ()
        old = {
            digest
            for digest, image in found.images.items()
            if image.arrived < now - self.grace and not is_immutable(self.immutable, image.repository, image.tags)
        }
        roots = sorted(found.roots & old)
        fits = await in_steps(self.backend, lambda digest: self._fits(found, found.images[digest]), roots, step)
        chosen = {digest for digest, fit in zip(roots, fits, strict=True) if fit}
        unused = await self._unused(found, found.below(chosen) & old, now, step)
        going = found.going(chosen & unused, unused)
        return [Going(found.images[digest], found.images[digest].tags) for digest in sorted(going)]

    async def _fits(self, found: Inventory, image: Image) -> bool:
        tags = found.own_tags(image)
        is_dangling = not tags and image.digest not in found.attached
        if not (self.every or is_dangling) or not self.filters.takes_tags(tags):
            return False
        return not self.filters.asks_for_labels or self.filters.takes_labels(
            await inventory.labels(self.backend, found, image)
        )

    async def _unused(self, found: Inventory, digests: set[Digest], now: float, step: Step) -> set[Digest]:
        """Of these what nobody has used, itself or through anything that it holds, since the time that was asked for.

        What nobody has pulled since times are kept counts as pulled when that began, and what was pulled a moment ago
        may not be written down: see `pull_times`.
        """
        pulls = PullTimes(self.backend)

        async def last(digest: Digest) -> float:
            return await pulls.last(found.name, digest)

        ordered = sorted(digests)
        pulled = dict(zip(ordered, await in_steps(self.backend, last, ordered, step), strict=True))
        since = await pulls.since()
        unused = set()
        for digest in ordered:
            moment = INEXACT_SECONDS + max(pulled.get(part, 0.0) for part in found.parts(digest))
            if moment < now - self.grace and self._is_before(found.images[digest], moment, since, now):
                unused.add(digest)
        return unused

    def _is_before(self, image: Image, pulled: float, since: float | None, now: float) -> bool:
        if self.filters.until is None:
            return True
        until = min(self.filters.until, now - UNWRITTEN_SECONDS)
        return since is not None and max(image.pushed, pulled, since) < until


def is_immutable(covers: Covers, repository: str, tags: Sequence[str]) -> bool:
    """True if one of the tags is immutable, or if nobody can have said so of this repository."""
    if not tags:
        return False
    try:
        covered = covers(RepositoryName.parse(repository))
    except NameInvalid:
        return True
    return covered is not None and any(covered(tag) for tag in tags)
