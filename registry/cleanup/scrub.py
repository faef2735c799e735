"""Reads all blobs again, at a bounded rate, and takes away those whose bytes are not what their digest says.

What is wrong goes into quarantine, so that no pull gets it and a client can push it anew. A push that has replaced the
bytes meanwhile wins: they are removed only in the version that was read. No lock is held that anybody else waits for.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from auth.patterns import matches
from registry.cleanup.at_rest import digest_at_rest
from registry.cleanup.hit import Hit, images_hit, missing
from registry.cleanup.mark import DigestSet
from registry.cleanup.mend import Holder, mend
from registry.cleanup.pace import Rate
from registry.cleanup.scrub_turn import Turn, TurnLost
from registry.content import keyspace, paging, walk
from registry.content.digest import Digest
from registry.content.errors import ContentError
from registry.content.side_by_side import batches, side_by_side
from storage_backends.base import ObjectInfo, StorageBackend
from storage_backends.errors import NotFound, StorageError, StorageFull, Unavailable, VersionMismatch

State = Literal["in place", "quarantined", "missing", "replaced", "mended"]
_LOST: Sequence[State] = ("quarantined", "missing")


@dataclass(frozen=True, slots=True)
class Options:
    """How to scrub: `rate` in bytes a second (0: as fast as it goes), `lease` in seconds. With `repositories`
    (patterns) only what these have. `anew` begins at the beginning, wherever the last one was stopped.
    """

    rate: int = 0
    lease: float = 300.0
    repositories: Sequence[str] = ()
    anew: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class _Wrong:
    reason: str
    readable: bool = True


@dataclass(slots=True)
class Damage:
    """A blob that is not what it should be; `size` of what was there in bytes; `images` that need it."""

    digest: Digest
    size: int
    reason: str
    state: State = "in place"
    images: Sequence[str] = ()

    @property
    def hurts(self) -> bool:
        """True if a client can get wrong bytes, or does not get what it needs."""
        return self.state == "in place" or (self.state in _LOST and bool(self.images))


@dataclass(slots=True)
class Scrubbed:
    """How far a scrub is, and what it has found; `size` in bytes, `resumed` if it goes on from an earlier one."""

    stage: str = "beginning"
    blobs: int = 0
    size: int = 0
    resumed: bool = False
    damaged: list[Damage] = field(default_factory=list)
    seconds: float = 0.0


class Scrub:
    """One scrub by `holder` (words that tell people who it is); `lost` is a place that may have what is lost."""

    def __init__(self, backend: StorageBackend, options: Options, holder: str, lost: Holder | None = None) -> None:
        self.scrubbed = Scrubbed()
        self._backend = backend
        self._options = options
        self._lost = lost
        self._turn = Turn(backend, holder, options.lease)
        self._rate = Rate(options.rate)

    async def run(self, now: float) -> Scrubbed:
        """Scrub; `now` is the storage's time. Raises `ScrubBusy`, `TurnLost`, `StorageError`."""
        began = time.monotonic()
        after = ""
        if not self._options.dry_run:
            await self._turn.begin(now, anew=self._options.anew)
            if not self._options.repositories:
                position = self._turn.position
                after, self.scrubbed.blobs, self.scrubbed.size = position.after, position.blobs, position.size
                self.scrubbed.resumed = bool(after)
        try:
            await self._read_all(after)
            self.scrubbed.stage = "looking for the images that are hit"
            await self._settle()
        except BaseException:
            with suppress(TurnLost, StorageError):  # then the next one waits until our turn is over by itself
                await self._end(done=False)
            raise
        await self._end(done=not self._options.repositories)
        self.scrubbed.stage = "done"
        self.scrubbed.seconds = time.monotonic() - began
        return self.scrubbed

    async def _end(self, *, done: bool) -> None:
        if not self._options.dry_run:
            await self._turn.end(done=done)

    async def _read_all(self, after: str) -> None:
        whole = not self._options.repositories
        digests = self._all(after) if whole else self._of_repositories()
        async for batch in batches(self._backend, digests):
            self.scrubbed.stage = f"reading {batch[0].encoded[:2]}/ff"
            await side_by_side(self._backend, self._check, batch)
            self.scrubbed.blobs += len(batch)
            if whole:
                await self._beat(str(batch[-1]))

    async def _all(self, after: str) -> AsyncIterator[Digest]:
        """Every blob behind the digest `after`, in order."""
        algorithm_done, _, done = after.partition(":")
        async for algorithm in walk.children(self._backend, keyspace.BLOBS):
            if algorithm < algorithm_done:
                continue
            last = done if algorithm == algorithm_done else ""
            async for shard in walk.children(self._backend, f"{keyspace.BLOBS}{algorithm}/"):
                if shard < last[:2]:
                    continue
                async for encoded in walk.children(self._backend, keyspace.blobs(algorithm, shard)):
                    digest = walk.parsed(f"{algorithm}:{encoded}")
                    if digest is not None and encoded > last:
                        yield digest

    async def _of_repositories(self) -> AsyncIterator[Digest]:
        """Every blob and manifest of the chosen repositories, once."""
        seen = DigestSet()
        async for name in walk.names(self._backend, keyspace.REPOSITORIES):
            if not self._is_chosen(name):
                continue
            for prefix in (keyspace.layers(name), keyspace.revisions(name)):
                async for entry in walk.by_digest(self._backend, prefix, "/link"):
                    if entry.digest is not None and entry.digest not in seen:
                        seen.add(entry.digest)
                        yield entry.digest

    def _is_chosen(self, name: str) -> bool:
        patterns = self._options.repositories
        return not patterns or any(matches(pattern, name) for pattern in patterns)

    async def _took(self, size: int) -> None:
        self.scrubbed.size += size
        await self._beat()
        await self._rate.took(size)

    async def _beat(self, after: str = "") -> None:
        if not self._options.dry_run:
            position = self._turn.position
            if after:
                position = replace(position, after=after, blobs=self.scrubbed.blobs, size=self.scrubbed.size)
            await self._turn.beat(position)

    async def _check(self, digest: Digest) -> None:
        try:
            if await self._wrong(digest) is None:
                return
            seen = await self._backend.stat(keyspace.blob(digest))
            wrong = await self._wrong(digest)  # once more: it may have been replaced while it was read
            if wrong is None:
                return
            damage = Damage(digest, seen.size, wrong.reason)
            leave = self._options.dry_run or not wrong.readable
            if leave or await self._take_away(damage, seen):
                self.scrubbed.damaged.append(damage)
        except NotFound:
            return  # removed meanwhile

    async def _wrong(self, digest: Digest) -> _Wrong | None:
        """What is wrong with a blob. Raises `NotFound`."""
        key = keyspace.blob(digest)
        try:
            found = await digest_at_rest(self._backend, key, digest.algorithm, self._took)
        except OSError as error:
            return _Wrong(f"it cannot be read: {error.strerror}", readable=False)
        except Unavailable as error:
            await self._backend.stat(key)  # if the storage answers, it is this blob that it cannot give
            return _Wrong(f"it cannot be read: {error}", readable=False)
        return None if found == digest else _Wrong(f"its bytes have the digest {found}")

    async def _take_away(self, damage: Damage, seen: ObjectInfo) -> bool:
        """Move what was `seen` into quarantine; False if it has been replaced or removed meanwhile."""
        key, aside = keyspace.blob(damage.digest), keyspace.quarantined(damage.digest)
        try:
            await self._backend.copy(key, aside)
        except StorageFull as error:
            damage.reason += f"; it cannot be moved away: {error}"
            return True
        try:
            # all of it: where a version is an entity tag, right bytes may have the one of those that have rotted
            if await self._backend.stat(key) == seen:
                await self._backend.delete(key, if_match=seen.version)
                damage.state = "quarantined"
                return True
        except (NotFound, VersionMismatch):
            pass  # a push, or garbage collection, was faster
        await self._backend.delete(aside)
        return False

    async def _settle(self) -> None:
        """Name the images that are hit, and see what has come back, or can be, of all that is in quarantine; where some
        place may have it also of what is missing.
        """
        found = {damage.digest: damage for damage in self.scrubbed.damaged}
        async for key in paging.keys(self._backend, keyspace.QUARANTINE):
            digest = walk.parsed(key.removeprefix(keyspace.QUARANTINE).replace("/", ":"))
            there = await walk.stat_if_there(self._backend, key)  # another scrub may have taken it out
            if digest is not None and digest not in found and there is not None:
                found[digest] = Damage(digest, there.size, "it was found to be wrong before", "quarantined")
        for manifests in (True, False):  # what a manifest needs is known only when it is there
            for digest in await missing(self._backend, self._is_chosen, self._beat) if self._lost is not None else ():
                found.setdefault(digest, Damage(digest, 0, "its bytes are not there", "missing"))
            self.scrubbed.damaged = list(found.values())
            hits = await images_hit(self._backend, found, self._beat)
            for digest, damage in found.items():
                damage.images = list(hits[digest].images)
                if damage.state in _LOST and hits[digest].is_manifest == manifests:
                    await self._bring_back(damage, hits[digest])

    async def _bring_back(self, damage: Damage, hit: Hit) -> None:
        if await self._is_back(damage.digest):
            damage.state = "replaced"
        elif not self._options.dry_run and await self._mend(damage, hit):
            damage.state = "mended"
        if damage.state not in _LOST and not self._options.dry_run:
            await self._backend.delete(keyspace.quarantined(damage.digest))

    async def _mend(self, damage: Damage, hit: Hit) -> bool:
        if self._lost is None:
            return False
        try:
            return await mend(self._backend, self._lost, damage.digest, hit)
        except ContentError as error:
            damage.reason += f"; it cannot be fetched: {error}"
            return False

    async def _is_back(self, digest: Digest) -> bool:
        try:
            return await self._wrong(digest) is None
        except NotFound:
            return False
