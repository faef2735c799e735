"""Which signatures, SBOMs and other referrers go because what they refer to is gone. Reads only."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from registry.cleanup.image_removal import Going
from registry.cleanup.inventory import Image, Inventory, Step
from registry.cleanup.prune import is_immutable
from registry.content import keyspace, walk
from registry.content.digest import Digest
from registry.content.immutable_tags import Covers
from registry.content.trash import Trash
from storage_backends.base import StorageBackend

_TAG = re.compile(r"sha256-([0-9a-f]{64})(\..+)?", re.ASCII)
"""A tag that says whom it belongs to: cosign's, and the referrers tag schema of the distribution-spec."""


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
        subjects = {digest: _subjects(found.images[digest]) for digest in found.roots & old}
        dangling = {digest for digest, named in subjects.items() if named and not named & found.images.keys()}
        if not dangling:
            return ()
        records = Trash(self.backend, self.grace).of(found.name)
        restorable = {record.digest async for record in records if record.when >= since}
        chosen = {
            digest
            for digest in dangling
            if not subjects[digest] & restorable
            and not is_immutable(self.immutable, found.name, found.images[digest].tags)
            and not await self._is_anywhere(subjects[digest])
        }
        return [
            Going(found.images[digest], found.images[digest].tags, reason="what it refers to is gone")
            for digest in sorted(found.going(chosen, old))
        ]

    async def _is_anywhere(self, digests: set[Digest]) -> bool:
        keys = [key for digest in digests for key in (keyspace.blob(digest), keyspace.quarantined(digest))]
        return any([await walk.is_there(self.backend, key) for key in keys])


def _subjects(image: Image) -> set[Digest]:
    """What an image refers to, by its own words and by its tags; nothing if it has a tag of its own."""
    named = [_TAG.fullmatch(tag) for tag in image.tags]
    found = {Digest("sha256", match[1]) for match in named if match is not None}
    if len(found) < len({match[1] if match else "" for match in named}):
        return set()
    return found if image.subject is None else {*found, image.subject}
