"""Which signatures, SBOMs and other referrers go because what they refer to is gone. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass

from registry.cleanup.image_removal import Going
from registry.cleanup.inventory import Inventory, Step, subjects
from registry.cleanup.prune import is_immutable
from registry.content.immutable_tags import Covers
from registry.content.trash import Trash
from storage_backends.base import StorageBackend


@dataclass(frozen=True, slots=True)
class DanglingReferrers:
    """Chooses for `ImageRemoval`: what refers to a manifest that is not there and cannot be restored any more.

    A manifest is there as long as its bytes lie anywhere, be it for another repository or in quarantine: signatures may
    be kept in a repository of their own, as by cosign's `COSIGN_REPOSITORY`.
    What has a tag, stands in an index, or was pushed within `grace` seconds stays: a referrer may be pushed before its
    subject. A tag that says whom it belongs to, as cosign's `sha256-….sig` do, counts as what it refers to, unless
    `immutable` covers it.
    """

    backend: StorageBackend
    immutable: Covers
    grace: float

    async def choose(self, found: Inventory, now: float, step: Step) -> Sequence[Going]:
        """See `Chooser`."""
        since = now - self.grace
        old = {digest for digest, image in found.images.items() if image.arrived < since}
        referring = {digest: subjects(found.images[digest]) for digest in (found.roots & old) - found.attached}
        dangling = {digest for digest, named in referring.items() if named and not named & found.images.keys()}
        if not dangling:
            return ()
        records = Trash(self.backend, self.grace).of(found.name)
        restorable = {record.digest async for record in records if record.when >= since}
        chosen = {
            digest
            for digest in dangling
            if not referring[digest] & restorable
            and not is_immutable(self.immutable, found.name, found.images[digest].tags)
        }
        return [
            Going(found.images[digest], found.images[digest].tags, reason="what it refers to is gone")
            for digest in sorted(found.going(chosen, old))
        ]
