"""Bringing back what was deleted a short while ago: what can be restored, until when, and restoring it.

Restores by pushing the manifest again, with an intent and a look at all that it needs: what garbage collection has
taken meanwhile is missed then, and nothing is made that cannot be pulled.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from registry.cleanup.inventory import attached_to
from registry.content import keyspace, mediatypes, walk
from registry.content.digest import Digest
from registry.content.errors import (
    ContentCorrupt,
    DigestInvalid,
    ManifestInvalid,
    ManifestUnknown,
    ReferencesUnknown,
    TagImmutable,
)
from registry.content.immutable_tags import Covers
from registry.content.leases import storage_time
from registry.content.manifest_store import ManifestStore
from registry.content.manifests import Manifest, parse_manifest
from registry.content.names import Reference, RepositoryName, Tag, is_tag, referrers_tag
from registry.content.repository import Registry, Rules
from registry.content.side_by_side import side_by_side
from registry.content.tag_store import TagStore
from registry.content.trash import Deleted, Trash
from storage_backends.base import StorageBackend
from storage_backends.errors import NotFound


@dataclass(frozen=True, slots=True)
class Restorable:
    """A manifest that is gone or has lost tags: all that is known of it, and not there again.

    `there` says whether the manifest itself is there; `deleted` is when, last, in seconds since the epoch.
    """

    repository: RepositoryName
    digest: Digest
    tags: tuple[Tag, ...]
    media_type: str
    subject: Digest | None
    deleted: float
    there: bool
    records: tuple[Deleted, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Restored:
    """What has come of one: the tags that name it again, and why other tags, or (without `there`) all, were refused."""

    item: Restorable
    tags: tuple[Tag, ...] = ()
    there: bool = False
    refused: tuple[str, ...] = ()


def choose(items: Sequence[Restorable], reference: Reference | None) -> list[Restorable]:
    """What a reference means: of a tag what it named last, with this tag alone; of a digest all of it; everything if
    there is none. A tag that several have had goes to the one that had it last.
    """
    if isinstance(reference, Digest):
        return [item for item in items if item.digest == reference]
    named = _had_last(items)
    if reference is None:
        return [item for item in named if item.tags or not item.there]
    return [replace(item, tags=(reference,)) for item in named if reference in item.tags]


def _had_last(items: Sequence[Restorable]) -> list[Restorable]:
    """The items, each with the tags that no other one has had after it."""
    last: dict[Tag, tuple[float, Digest]] = {}
    for item in items:
        for tag in item.tags:
            when = max(record.when for record in item.records if tag in record.tags)
            last[tag] = max(last.get(tag, (0.0, item.digest)), (when, item.digest))
    return [replace(item, tags=tuple(tag for tag in item.tags if last[tag][1] == item.digest)) for item in items]


class Restorer:
    """Restores within one storage. Tags that name something else by now are moved with `force` only, and never if they
    are `immutable`. Below one of the prefixes `mirrored` blobs are fetched when they are asked for. A dry run looks
    at everything and makes nothing.
    """

    def __init__(
        self,
        backend: StorageBackend,
        rules: Rules,
        immutable: Covers,
        *,
        mirrored: Collection[str] = (),
        force: bool = False,
        dry_run: bool = False,
    ) -> None:
        self._backend = backend
        self._trash = Trash(backend, rules.grace_seconds)
        self._grace = rules.grace_seconds
        self._checks = rules.check_references
        self._mirrored = tuple(f"{prefix}/" for prefix in mirrored)
        self._manifests = ManifestStore(backend)
        self._tags = TagStore(backend)
        self._dry_run = dry_run
        # without force no tag is moved from what it names: that is what an immutable tag is
        self._covers = immutable if force else _every_tag
        self._registry = Registry(backend, replace(rules, check_references=True), self._covers)

    async def everything(self) -> AsyncIterator[Restorable]:
        """What can be restored, in all repositories."""
        async for text in walk.names(self._backend, keyspace.OWN_REPOSITORIES):
            for found in await self.of(RepositoryName(text)):
                yield found

    async def of(self, name: RepositoryName) -> list[Restorable]:
        """What can be restored in a repository, the last deletion first."""
        by_digest: dict[Digest, list[Deleted]] = {}
        for deleted in sorted([found async for found in self._trash.of(name)], key=lambda found: -found.when):
            by_digest.setdefault(deleted.digest, []).append(deleted)
        found = await side_by_side(self._backend, partial(self._look, name, by_digest), list(by_digest))
        return sorted((item for item in found if item is not None), key=lambda item: -item.deleted)

    async def restore(self, chosen: Sequence[Restorable], known: Sequence[Restorable]) -> AsyncIterator[Restored]:
        """Bring the chosen ones of a repository back, and of what is `known` there whatever belongs to them: what an
        index holds, and what refers to a manifest (signatures, SBOMs), be it by a tag, which comes back then, too.
        """
        named = [replace(item, tags=tuple(filter(attached_to, item.tags))) for item in _had_last(known)]
        items = {item.digest: item for item in named if item.tags or not item.there}
        referrers: dict[str, list[Digest]] = defaultdict(list)
        for item in items.values():
            subject = (referrers_tag(item.subject),) if item.subject else ()
            for holder in {*subject, *map(attached_to, item.tags)}:
                referrers[holder].append(item.digest)
        items |= {item.digest: item for item in chosen}
        waiting, seen = [(item.digest, False) for item in reversed(chosen)], set[Digest]()
        while waiting:
            digest, children_are_there = waiting.pop()
            if children_are_there:
                yield await self._one(items[digest], {item.digest for item in known})
                waiting += [(referrer, False) for referrer in referrers[referrers_tag(digest)]]
            elif digest in items and digest not in seen:
                seen.add(digest)
                waiting += [(digest, True), *((child, False) for child in await self._children(items[digest]))]

    async def _look(
        self, name: RepositoryName, deleted: Mapping[Digest, Sequence[Deleted]], digest: Digest
    ) -> Restorable | None:
        """What is still missing of what the records of a digest, the last one first, tell of; None if nothing is."""
        records = deleted[digest]
        there = await self._manifests.has(name, digest)
        told = {tag: None for record in records for tag in record.tags if is_tag(tag)}
        tags = [Tag(tag) for tag in told if await self._tags.version(name, Tag(tag), digest) is None]
        if there and not tags:
            return None
        media_type = next((record.media_type for record in records if record.media_type), "")
        subject = next((record.subject for record in records if record.subject), None)
        return Restorable(
            name, digest, tuple(sorted(tags)), media_type, subject, records[0].when, there, tuple(records)
        )

    async def _children(self, item: Restorable) -> list[Digest]:
        try:
            data = (await self._backend.get(keyspace.blob(item.digest))).data
            return [child.digest for child in parse_manifest(data, item.media_type or None).manifests]
        except (NotFound, ManifestInvalid):
            return []  # restoring it says what is wrong

    async def _one(self, item: Restorable, known: Collection[Digest]) -> Restored:
        obstacles = {tag: await self._obstacle(item, tag) for tag in item.tags}
        tags = tuple(tag for tag, obstacle in obstacles.items() if not obstacle)
        refused = tuple(obstacle for obstacle in obstacles.values() if obstacle)
        if refused and not tags:
            return Restored(item, there=item.there, refused=refused)
        try:
            await self._push(item, tags, known)
        except (NotFound, ManifestUnknown):
            return Restored(item, refused=(*refused, f"too late: {item.digest} is gone"))
        except ReferencesUnknown as error:
            return Restored(item, refused=(*refused, f"too late: {error.missing[0]}, which it needs, is gone"))
        except (ManifestInvalid, ContentCorrupt, DigestInvalid, TagImmutable) as error:
            return Restored(item, refused=(*refused, error.message))
        return Restored(item, tags, there=True, refused=refused)

    async def _push(self, item: Restorable, tags: Sequence[Tag], known: Collection[Digest]) -> None:
        data = (await self._backend.get(keyspace.blob(item.digest))).data
        media_type = item.media_type or None
        if item.there:
            media_type = (await self._manifests.get(item.repository, item.digest)).media_type
        manifest = parse_manifest(data, media_type)
        lacking = await self._lacking(item, manifest, known)
        if self._dry_run:  # what is known would have been restored by now
            await self._registry.check_references(item.repository, manifest, {*lacking, *known})
            return
        await self._registry.put_manifest(item.repository, item.digest, data, media_type, tags, lacking=lacking)
        await self._forget(item)

    async def _lacking(self, item: Restorable, manifest: Manifest, known: Collection[Digest]) -> set[Digest]:
        """What was not there already when the manifest was deleted: children of an index, and, where references are not
        checked or what is missing is fetched, blobs. It has neither link nor bytes, which a collection leaves to what a
        young record names, and no deletion of it is known.
        """
        named = {child.digest for child in manifest.manifests if child.media_type in mediatypes.MANIFESTS}
        if not self._checks or item.repository.startswith(self._mirrored):
            named |= {blob.digest for blob in manifest.blobs}
        found = {digest for digest in named - {*known} if not await self._has_trace(item.repository, digest)}
        if found and item.deleted < await storage_time(self._backend) - self._grace:
            return set()
        return found

    async def _has_trace(self, name: RepositoryName, digest: Digest) -> bool:
        links = keyspace.revision_link(name, digest), keyspace.layer_link(name, digest)
        keys = (*links, keyspace.blob(digest), keyspace.quarantined(digest))
        return any([await walk.is_there(self._backend, key) for key in keys])

    async def _obstacle(self, item: Restorable, tag: Tag) -> str:
        """Why a tag cannot name this manifest again; empty if it can."""
        covers = self._covers(item.repository)
        if covers is not None and covers(tag):
            with suppress(ManifestUnknown):
                named = await self._tags.resolve(item.repository, tag)
                if named != item.digest:
                    return f"{item.repository}:{tag} names {named} by now"
        return ""

    async def _forget(self, item: Restorable) -> None:
        """Remove the records of which nothing is missing any more."""
        left = await self._look(item.repository, {item.digest: item.records}, item.digest)
        missing = set(left.tags) if left is not None else set()
        done = [record.key for record in item.records if not missing & set(record.tags)]
        await self._backend.delete_many(done, durable=False)


def _every_tag(_: RepositoryName) -> Callable[[str], bool]:
    return lambda _: True
