"""Who may delete what, while everybody pushes: both sides of the protocol, the writers' and the collector's.

Everything is told through the storage, so it holds between any processes that use it. `docs/garbage-collection.md`
explains the protocol and why it is right; `tests/promela/gc.pml` is the same as a model, which is checked.

    A writer that needs a digest             The collector
    ------------------------------------     ----------------------------------------------------
    1. W need: a link, or an intent          1. W phase: at work
    2. R phase: idle -> go on with 5         2. R intents, then all manifests and links: what is needed
    3. W touched: the digest                 3. for each shard (the first two hex digits of a digest):
    4. R shard:                                 a. W shard: condemned = what nobody needs
         not named   -> go on with 5            b. R touched: what is named there is spared
         condemned   -> CAS it out              c. CAS shard: some of condemned -> claimed
         claimed     -> wait until it is        d. remove the claimed, links before bytes
                        gone                    e. CAS shard: claimed = none; again from c, or remove the shard
    5. R its link: gone -> begin again       4. W phase: idle
    6. R what it relies on; W what it makes

Invariant: what a writer finds in step 6 is there until its need is over. Why: of 1 and 2 on both sides each writes
first and reads then, so one of the two sees the other; the same holds for 3 and 4 against 3a and 3b; a claim and a
revival are compare-and-swaps of one object; and a link that was written while its digest was going is missed in 5.

A need is over when an intent is removed, or when a link is older than the grace period and no manifest of its
repository names it. The collector compares times of the storage only with each other. A writer renews a link that has
lost half of its time, by its own clock: that may differ from the storage's by a quarter of the grace period.
"""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.paging import pages
from registry.content.walk import is_there
from storage_backends.base import ObjectInfo, Ready, StorageBackend, StoredObject
from storage_backends.errors import AlreadyExists, NotFound, StorageError, Unavailable, VersionMismatch
from storage_backends.waiting import to_its_end

INTENT_SECONDS = 3600.0
"""After so long an intent is what a killed process left."""
_CLAIM_SECONDS = 30.0
_POLL_SECONDS = 0.02
_TOLD_SECONDS = 10.0
"""So often, at least, a collector says how far it is."""
_log = logging.getLogger(__name__)


class CollectorBusy(Exception):
    """Somebody else collects at this moment; `state` says who."""

    def __init__(self, state: "CollectorState") -> None:
        super().__init__(f"a collection is running already, since {time.ctime(state.began)}, by {state.holder}")
        self.state = state


class LeaseLost(Exception):
    """The collector was too slow, or held up: another one has taken its lease. Nothing may be removed any more."""


@dataclass(frozen=True, slots=True)
class CollectorState:
    """Who collects: `holder` in words; whether it is `at_work`; when it began (since the epoch); what came of it; and
    while it is at work how far it is.
    """

    holder: str = ""
    at_work: bool = False
    began: float = 0.0
    beats: int = 0
    outcome: str = ""
    progress: Mapping[str, object] = field(default_factory=dict)

    def dump(self) -> bytes:
        """As it lies on storage."""
        return json.dumps([self.holder, self.at_work, self.began, self.beats, self.outcome, self.progress]).encode()


@dataclass(frozen=True, slots=True)
class Shard:
    """Digests that go: those that can still be saved, and those that are going now."""

    condemned: frozenset[str]
    claimed: frozenset[str] = frozenset()

    @classmethod
    def load(cls, found: StoredObject) -> "Shard":
        """Read it from storage."""
        condemned, claimed = json.loads(found.data)
        return cls(frozenset(condemned), frozenset(claimed))

    def dump(self) -> bytes:
        """As it lies on storage."""
        return json.dumps([sorted(self.condemned), sorted(self.claimed)]).encode()


async def collector_state(backend: StorageBackend) -> CollectorState:
    """Who collects, or has collected last."""
    try:
        return load_state(await backend.get(keyspace.COLLECTOR))
    except NotFound:
        return CollectorState()


async def storage_time(backend: StorageBackend) -> float:
    """What time it is where the times of objects come from, in seconds since the epoch."""
    key = f"{keyspace.SCRATCH}/clock-{uuid.uuid4().hex}"
    await backend.put(key, b"", durable=False)
    try:
        return (await backend.stat(key)).modified
    finally:
        await backend.delete(key, durable=False)


class Leases:
    """The writers' side. `grace` (seconds) is for how long a link protects what nothing else needs."""

    def __init__(self, backend: StorageBackend, grace: float) -> None:
        self._backend = backend
        self._grace = grace

    async def rely(self, digests: Sequence[Digest]) -> None:
        """Steps 2 to 4, after the need was written. Raises `Unavailable` if a removal does not come to its end."""
        if not (await collector_state(self._backend)).at_work:
            return
        names = {str(digest) for digest in digests}
        await self._backend.put(f"{keyspace.TOUCHED}{uuid.uuid4().hex}", _lines(names), durable=False)
        for shard in sorted({digest.encoded[:2] for digest in digests}):
            await self._revive(shard, names)

    async def link(self, key: str, digest: Digest) -> None:
        """Steps 1 to 5: write a link to a blob, or write it anew; the blob, if it is there afterwards, stays."""
        while True:
            await self._backend.put(key, str(digest).encode())
            await self.rely([digest])
            if await is_there(self._backend, key):
                return

    def relying(self, key: str, digest: Digest) -> Ready:
        """Steps 2 to 5 for `Upload.commit`, between a blob's link and its bytes."""

        async def ready() -> None:
            await self.rely([digest])
            if not await is_there(self._backend, key):
                await self.link(key, digest)

        return ready

    async def renew(self, link: ObjectInfo, digest: Digest) -> bool:
        """Steps 1 to 4 with a link that is there, if it has lost half of its time; true if that was so.

        Steps 5 and 6 are the caller's: the link may be gone. A storage that cannot be written to is no reason to say
        that something is not there.
        """
        if time.time() - link.modified < self._grace / 2:
            return False
        try:
            await self._backend.put(link.key, str(digest).encode(), if_match=link.version)
            await self.rely([digest])
        except VersionMismatch:
            pass  # somebody else has renewed or removed it
        except StorageError as error:
            _log.warning("the link %s cannot be renewed: %s", link.key, error)
        return True

    @asynccontextmanager
    async def intent(self, digests: Iterable[Digest]) -> AsyncIterator["Intent"]:
        """While this lasts everything that the digests name and that is there stays there."""
        key = f"{keyspace.INTENTS}{uuid.uuid4().hex}"
        intent = Intent(self._backend, self, key, sorted(set(digests)))
        try:
            await intent.write()
            yield intent
        finally:
            await self._backend.delete(key, durable=False)

    async def _revive(self, shard: str, names: set[str]) -> None:
        """Step 4."""
        deadline = time.monotonic() + _CLAIM_SECONDS
        while time.monotonic() < deadline:
            try:
                found = await self._backend.get(keyspace.condemned(shard))
            except NotFound:
                return
            try:
                state = Shard.load(found)
            except ValueError:  # a power cut has taken what it said: anything may be going
                state = Shard(frozenset(), frozenset(names))
            if names & state.condemned:
                await self._replace(shard, found, Shard(state.condemned - names, state.claimed))
            elif names & state.claimed:
                await asyncio.sleep(_POLL_SECONDS)  # another process removes it; storage tells us nothing by itself
            else:
                return
        raise Unavailable("what this needs is being removed by garbage collection; try again")

    async def _replace(self, shard: str, found: StoredObject, state: Shard) -> None:
        with suppress(VersionMismatch):  # somebody else has changed it: the caller looks again
            await self._backend.put(keyspace.condemned(shard), state.dump(), if_match=found.info.version, durable=False)


class Intent:
    """What a manifest push relies on."""

    def __init__(self, backend: StorageBackend, leases: Leases, key: str, digests: Sequence[Digest]) -> None:
        self._backend = backend
        self._leases = leases
        self._key = key
        self._digests = digests

    async def write(self) -> None:
        """Let the collector see it; what the digests name, if it is there afterwards, stays."""
        await self._backend.put(self._key, _lines(map(str, self._digests)), durable=False)
        await self._leases.rely(self._digests)

    async def stands(self) -> bool:
        """True if no collector has taken it for what a killed process left, as it does after `INTENT_SECONDS`."""
        return await is_there(self._backend, self._key)


class Collector:
    """The collector's side, for one cycle at a time. `seconds` is how long its lease lasts without a beat; `progress`
    says how far the work is, for people who look.

    It removes nothing when more than half of that time has passed since its last beat; so whoever takes over must only
    be sure that a removal that has begun is over after the other half.
    """

    def __init__(
        self,
        backend: StorageBackend,
        holder: str,
        seconds: float,
        progress: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        self._backend = backend
        self._seconds = seconds
        self._progress = progress
        self._state = CollectorState(holder)
        self._version = ""
        self._beat = 0.0
        self._seen: set[str] = set()
        self._needed: set[str] = set()
        self._removing = False

    async def begin(self, now: float) -> None:
        """Step 1, and the end of what a killed collector left. Raises `CollectorBusy`."""
        self._state = CollectorState(self._state.holder, at_work=True, began=now)
        try:
            found = await self._backend.get(keyspace.COLLECTOR)
        except NotFound:
            await to_its_end(self._take(if_absent=True))
        else:
            state = load_state(found)
            if state.at_work and now - found.info.modified < self._seconds:
                raise CollectorBusy(state)
            await to_its_end(self._take(if_match=found.info.version))
        for prefix in (keyspace.CONDEMNED, keyspace.TOUCHED):
            async for keys in pages(self._backend, prefix):
                await self._backend.delete_many(keys, durable=False)

    async def beat(self) -> None:
        """Show that we are alive; to be called often. Raises `LeaseLost`."""
        if time.monotonic() - self._beat >= min(self._seconds / 4, _TOLD_SECONDS):
            await self._show()

    async def end(self, outcome: str) -> None:
        """Step 4. Raises `LeaseLost`."""
        await self._show()  # what is condemned or claimed by now may be another collector's
        async for keys in pages(self._backend, keyspace.CONDEMNED):
            await self._backend.delete_many(keys, durable=False)
        self._state = CollectorState(self._state.holder, at_work=False, began=self._state.began, outcome=outcome)
        await self._write_state()  # another one may begin at this moment
        self._version = ""

    async def stop(self) -> None:
        """Step 4 of a cycle that does not come to its end, whatever the reason: nobody shall have to wait for it.

        Not while something that was claimed may still be removed by us, as when the storage has failed in the middle of
        that: then the lease runs out by itself, and a removal is over before.
        """
        if self._version and not self._removing:
            with suppress(LeaseLost, StorageError):  # then the next one waits until the lease has run out
                await self.end("stopped")

    def removed(self) -> None:
        """What was claimed last is gone."""
        self._removing = False

    async def read_intents(self) -> None:
        """The first half of step 2; the marker does the rest."""
        await self._read(keyspace.INTENTS, self._state.began - INTENT_SECONDS)

    async def condemn(self, shard: str, digests: Iterable[str]) -> None:
        """Steps 3a and 3b."""
        try:
            await self._backend.put(
                keyspace.condemned(shard), Shard(frozenset(digests)).dump(), if_absent=True, durable=False
            )
        except AlreadyExists as error:
            raise LeaseLost(f"shard {shard} is in another collector's hands") from error
        await self._read(keyspace.TOUCHED, 0.0)

    async def claim(self, shard: str, count: int) -> frozenset[str]:
        """Step 3e and 3c: take up to `count` condemned digests that nobody needs, which nobody can save any more.

        What was claimed before is done with; `removed` has to say so of this, too. Nothing left: the shard is removed,
        and the set is empty.
        """
        key = keyspace.condemned(shard)
        while True:
            await self.beat()
            try:
                found = await self._backend.get(key)
            except NotFound as error:
                raise LeaseLost(f"shard {shard} was taken away") from error
            left = sorted(Shard.load(found).condemned - self._needed)
            claimed = frozenset(left[:count])
            try:
                if claimed:
                    rest = Shard(frozenset(left[count:]), claimed).dump()
                    await self._backend.put(key, rest, if_match=found.info.version, durable=False)
                else:
                    await self._backend.delete(key, if_match=found.info.version, durable=False)
            except VersionMismatch:
                continue  # somebody has saved something
            if time.monotonic() - self._beat > self._seconds / 2:
                raise LeaseLost("the collector was held up for too long to remove anything")
            self._removing = bool(claimed)
            return claimed

    async def _read(self, prefix: str, since: float) -> None:
        async for keys in pages(self._backend, prefix):
            for key in keys:
                if key in self._seen:
                    continue
                try:
                    found = await self._backend.get(key)
                except NotFound:
                    continue  # that push is over: what it made is seen by itself
                if found.info.modified < since:
                    with suppress(VersionMismatch):  # it was written anew, for the next look to see
                        await self._backend.delete(key, if_match=found.info.version, durable=False)
                    continue
                self._seen.add(key)
                self._needed.update(found.data.decode().split())

    async def _take(self, *, if_absent: bool = False, if_match: str | None = None) -> None:
        try:
            await self._backend.put(
                keyspace.COLLECTOR, self._state.dump(), if_absent=if_absent, if_match=if_match, durable=False
            )
        except (AlreadyExists, VersionMismatch) as error:
            raise CollectorBusy(await collector_state(self._backend)) from error
        await self._remember()

    async def _show(self) -> None:
        self._state = replace(self._state, beats=self._state.beats + 1, progress=self._progress())
        await to_its_end(self._tell())

    async def _tell(self) -> None:
        await self._write_state()
        await self._remember()

    async def _write_state(self) -> None:
        try:
            await self._backend.put(keyspace.COLLECTOR, self._state.dump(), if_match=self._version, durable=False)
        except VersionMismatch as error:
            raise LeaseLost("another collector has taken over") from error

    async def _remember(self) -> None:
        self._beat = time.monotonic()
        found = await self._backend.get(keyspace.COLLECTOR)
        if found.data != self._state.dump():
            raise LeaseLost("another collector has taken over")
        self._version = found.info.version


def load_state(found: StoredObject) -> CollectorState:
    """Read it from storage. It is not synced: what a power cut has taken may have been the word of one at work."""
    try:
        return CollectorState(*json.loads(found.data))
    except ValueError:
        return CollectorState("somebody whose word is lost", at_work=True, began=found.info.modified)


def _lines(names: Iterable[str]) -> bytes:
    return "\n".join(names).encode()
