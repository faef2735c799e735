"""What is needed now: every manifest of every repository, and those that were deleted a short while ago, what each of
them names, and what a fresh link protects.

Reads only, but for names with nothing behind them, which it lets the storage forget unless it is a dry run. What is
needed is kept as 64 bits of each digest: two that agree in them are both kept, so that a mistake here never loses
anything, and a million blobs cost some 90 MB.
"""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from registry.cleanup.pace import Pace
from registry.content import keyspace, paging, strict_json, trash, walk
from registry.content.digest import Digest
from registry.content.errors import DigestInvalid
from registry.content.side_by_side import batches, side_by_side
from registry.content.walk import Entry
from storage_backends.base import StorageBackend

_LISTS = ("layers", "blobs", "manifests")
_MEMBERS = {"schemaVersion", "mediaType", "artifactType", "config", *_LISTS, "subject", "annotations"}
"""All that stands in a manifest of a form that we know: one of these alone that names nothing needs nothing."""
_ANY_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class DigestSet:
    """Digests, in little memory: `in` is true for every member, and hardly ever for another one."""

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits: set[int] = set()

    def add(self, digest: Digest) -> None:
        """Take it in."""
        self._bits.add(int(digest.encoded[:16], 16))

    def add_all(self, digests: Iterable[Digest]) -> None:
        """Take them all in."""
        for digest in digests:
            self.add(digest)

    def update(self, other: "DigestSet") -> None:
        """Take in all of another set."""
        self._bits |= other._bits

    def __contains__(self, digest: Digest) -> bool:
        return int(digest.encoded[:16], 16) in self._bits

    def __len__(self) -> int:
        return len(self._bits)


@dataclass(slots=True)
class Marked:
    """What a look at all repositories has found. `dead` has keys that nobody needs, by shard and digest: a link, or
    what is known of a manifest that is gone.
    """

    needed: DigestSet = field(default_factory=DigestSet)
    dead: dict[str, dict[Digest, list[str]]] = field(default_factory=lambda: defaultdict(dict))
    repositories: int = 0
    manifests: int = 0
    links: int = 0
    held: list[str] = field(default_factory=list)
    """Why some repositories keep everything, in words."""

    def condemn(self, digest: Digest, key: str) -> None:
        """Nobody needs what lies at `key`, which belongs to a digest."""
        self.dead[digest.encoded[:2]].setdefault(digest, []).append(key)


class Marker:
    """One look. Links and records of deletions that are younger than `since` (seconds since the epoch) protect what
    they name.
    """

    def __init__(self, backend: StorageBackend, since: float, pace: Pace, *, dry_run: bool = True) -> None:
        self.marked = Marked()
        self._dry_run = dry_run
        self._backend = backend
        self._since = since
        self._pace = pace

    async def run(self) -> AsyncIterator[str]:
        """Look at everything, a repository at a time; yields after every step of some milliseconds where it is."""
        async for name in walk.names(self._backend, keyspace.REPOSITORIES):
            self.marked.repositories += 1
            async for _ in self._repository(name):
                await self._pace.rest()
                yield name
        async for name in walk.names(self._backend, keyspace.OWN_REPOSITORIES):
            async for _ in self.restorable(name, self.marked.needed):  # of repositories in which nothing else is left
                await self._pace.rest()
                yield name
            await self._about_manifests(name)
            await self._pace.rest()
            yield name

    async def _repository(self, name: str) -> AsyncIterator[None]:
        named = DigestSet()
        whole = True
        revisions = walk.by_digest(self._backend, keyspace.revisions(name), "/link")
        async for batch in batches(self._backend, revisions, 64):
            for entry, found in zip(batch, await side_by_side(self._backend, self._needs, batch), strict=True):
                whole = whole and found is not None
                # what was read wrongly may be right the next time: taking bytes away is for `scrub`, which looks twice
                own = () if entry.digest is None else (entry.digest,)
                named.add_all(own if found is None else found)
            self.marked.manifests += len(batch)
            yield
        async for _ in self.restorable(name, named):
            yield
        self.marked.needed.update(named)
        async for batch in batches(self._backend, self._unnamed_links(name, named if whole else None), 64):
            fresh = await side_by_side(self._backend, self._is_fresh, batch)
            for entry, is_fresh in zip(batch, fresh, strict=True):
                if entry.digest is None:
                    continue
                if is_fresh or not whole:
                    self.marked.needed.add(entry.digest)
                else:
                    self.marked.condemn(entry.digest, entry.key)
            yield
        if not whole:
            self.marked.held.append(f"{name} has manifests that are damaged or missing: all of its blobs are kept")

    async def restorable(self, name: str, needed: DigestSet) -> AsyncIterator[None]:
        """Add what manifests need that were deleted a short while ago. To be read after those that are there, for who
        deletes writes the record first: see `content.trash`.
        """
        async for keys in batches(self._backend, paging.keys(self._backend, keyspace.trash(name)), 64):
            entries = [Entry(key, trash.digest_of(key)) for key in keys]
            fresh = await side_by_side(self._backend, self._is_fresh, entries)
            deleted = [entry for entry, is_fresh in zip(entries, fresh, strict=True) if is_fresh]
            for found in await side_by_side(self._backend, self._references, deleted):
                needed.add_all(found or ())
            yield

    async def _unnamed_links(self, name: str, named: DigestSet | None) -> AsyncIterator[Entry]:
        """The repository's links to blobs that no manifest names; all of them if it is not known what is named."""
        async for entry in walk.by_digest(self._backend, keyspace.layers(name), "/link"):
            self.marked.links += 1
            if entry.digest is None or (named is not None and entry.digest in named):
                continue
            if not await walk.is_empty(self._backend, entry, dry_run=self._dry_run):
                yield entry

    async def _is_fresh(self, entry: Entry) -> bool:
        info = await walk.stat_if_there(self._backend, entry.key)
        return info is not None and info.modified >= self._since

    async def _needs(self, entry: Entry) -> list[Digest] | None:
        """As `_references`, for a manifest that the repository has: where only its name is left that is nothing."""
        return [] if await walk.is_empty(self._backend, entry, dry_run=self._dry_run) else await self._references(entry)

    async def _references(self, entry: Entry) -> list[Digest] | None:
        """The manifest itself and what it names; None if that cannot be told."""
        digest = entry.digest
        if digest is None:
            return None
        found = await walk.get_if_there(self._backend, keyspace.blob(digest))
        if found is None:
            return [] if await walk.stat_if_there(self._backend, entry.key) is None else None
        if Digest.of(found.data, digest.algorithm) != digest:
            return None
        return [digest, *references(found.data)]

    async def _about_manifests(self, name: str) -> None:
        """What we keep of manifests, without the manifest."""
        there = DigestSet()
        async for entry in walk.by_digest(self._backend, keyspace.revisions(name), "/link"):
            if entry.digest is not None:
                there.add(entry.digest)
        async for batch in batches(self._backend, self._kept_of_manifests(name), 64):
            gone = [entry for entry in batch if entry.digest is not None and entry.digest not in there]
            fresh = await side_by_side(self._backend, self._is_fresh, gone)  # a copy brings the manifest later
            for entry, is_fresh in zip(gone, fresh, strict=True):
                if entry.digest is not None and not is_fresh:
                    self.marked.condemn(entry.digest, entry.key)

    async def _kept_of_manifests(self, name: str) -> AsyncIterator[Entry]:
        for prefix in (keyspace.media_types(name), keyspace.pulls(name), keyspace.pushes(name)):
            async for entry in walk.by_digest(self._backend, prefix, ""):
                yield entry
        async for key in paging.keys(self._backend, keyspace.all_referrers(name)):
            yield Entry(key, walk.parsed(key.rpartition("/")[2]))


def references(data: bytes) -> Iterable[Digest]:
    """What a manifest needs in order to be pulled, whatever its media type; if it is of a form that we do not know,
    everything that looks like a digest.
    """
    try:
        document: Any = strict_json.loads(data)
        named = [document["config"]] if "config" in document else []
        for member in _LISTS:
            named += document.get(member) or ()
        if "fsLayers" not in document and (named or _MEMBERS.issuperset(document)):
            return [Digest.parse(descriptor["digest"]) for descriptor in named]
    except (strict_json.JSONInvalid, DigestInvalid, TypeError, AttributeError, LookupError):
        pass  # not of a form that we know
    return [Digest.parse(found.decode()) for found in _ANY_DIGEST.findall(data)]
