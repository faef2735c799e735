"""Referrers: which manifests of a repository name another one as their subject. An index, rebuilt from the manifests.

Every manifest with a subject is entered before it becomes visible, and a listing leaves out entries whose manifest is
gone. Manifests that another registry wrote are found in two ways: all that lie in the repository when it is first asked
(`adopt`), and those that its clients list under the referrers tag schema, at each listing.

Source: distribution-spec, "Listing Referrers" and "Enabling the Referrers API".
"""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from registry.content import keyspace, strict_json
from registry.content.digest import Digest
from registry.content.errors import ContentCorrupt, ManifestInvalid, ManifestUnknown
from registry.content.manifest_store import ManifestStore, StoredManifest
from registry.content.manifests import Manifest, parse_manifest
from registry.content.names import RepositoryName, referrers_tag
from registry.content.side_by_side import batches, side_by_side
from registry.content.tag_store import TagStore
from registry.content.walk import by_digest, is_there, parsed
from storage_backends.base import StorageBackend
from storage_backends.errors import NotFound

_MAX_PAGE_BYTES = 4 * 1024 * 1024 - 4096
"""A page is a manifest, and clients read manifests of up to 4 MiB."""
_YIELD_EVERY = 64


@dataclass(frozen=True, slots=True)
class ReferrersPage:
    """Descriptors as JSON objects, in the order of their digests; `last` is where to go on, if there are more."""

    descriptors: tuple[Mapping[str, object], ...]
    last: str | None
    warning: str | None = None
    """Why this may not be what the place that it was fetched from would say now; for people."""


class ReferrerIndex:
    """Referrers by repository and subject."""

    def __init__(self, backend: StorageBackend, manifests: ManifestStore, tags: TagStore) -> None:
        self._backend = backend
        self._manifests = manifests
        self._tags = tags
        self._adopting: dict[RepositoryName, asyncio.Task[int]] = {}

    async def add(self, name: RepositoryName, digest: Digest, size: int, manifest: Manifest) -> None:
        """Enter a manifest that has a subject; durable on return."""
        if manifest.subject is not None:
            data = strict_json.dumps(_descriptor(digest, size, manifest))
            await self._backend.put(keyspace.referrer(name, manifest.subject.digest, digest), data)

    async def has(self, name: RepositoryName, digest: Digest, manifest: Manifest) -> bool:
        """True if the manifest is entered, or has no subject and need not be."""
        subject = manifest.subject
        return subject is None or await is_there(self._backend, keyspace.referrer(name, subject.digest, digest))

    async def remove(self, name: RepositoryName, stored: StoredManifest) -> None:
        """Take out a manifest that was removed from the repository."""
        try:
            manifest = parse_manifest(stored.data, stored.media_type)
        except ManifestInvalid:
            return  # of a kind that has no subject: it was never entered
        if manifest.subject is None:
            return
        await self._backend.delete(keyspace.referrer(name, manifest.subject.digest, stored.digest))
        if await self._manifests.has(name, stored.digest):  # it was pushed again, and we took that push's entry
            await self.add(name, stored.digest, len(stored.data), manifest)

    async def page(
        self, name: RepositoryName, subject: Digest, artifact_type: str | None, after: str, limit: int
    ) -> ReferrersPage:
        """Referrers of `subject` behind the digest `after`: at most `limit`, and what fits a manifest (end-12)."""
        if limit == 0:
            return ReferrersPage((), last=None)
        await self.adopt(name)
        chosen: list[Mapping[str, object]] = []
        room = _MAX_PAGE_BYTES
        async for entry in self._entries(name, subject, after):
            if entry is None or (artifact_type is not None and entry.get("artifactType") != artifact_type):
                continue
            room -= len(strict_json.dumps(entry)) + 1
            if len(chosen) == limit or (room < 0 and chosen):
                return ReferrersPage(tuple(chosen), last=str(chosen[-1]["digest"]))
            chosen.append(entry)
        return ReferrersPage(tuple(chosen), last=None)

    async def adopt(self, name: RepositoryName) -> None:
        """Make sure that manifests which were there before us are entered. Callers at the same time share the work."""
        try:
            await self._backend.stat(keyspace.referrers_complete(name))
        except NotFound:
            task = self._adopting.get(name)
            if task is None:
                task = self._adopting[name] = asyncio.create_task(self.rebuild(name))
                task.add_done_callback(lambda _: self._adopting.pop(name, None))
            await asyncio.shield(task)

    async def rebuild(self, name: RepositoryName, *, dry_run: bool = False) -> int:
        """Enter every manifest of the repository that has a subject (with `dry_run`, none); return how many there are.

        Entries of manifests that are gone need no removal here: listings leave them out.
        """
        entered = 0
        number = 0
        async for digest in self._revisions(name):
            number += 1
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)  # other requests get the event loop
            found = await self._read(name, digest)
            if found is not None and found[1].subject is not None:
                entered += 1
                if not dry_run:
                    await self.add(name, digest, len(found[0].data), found[1])
        if number and not dry_run:  # whoever asks for a repository that is not there must not leave a trace
            await self._backend.put(keyspace.referrers_complete(name), b"")
        return entered

    async def _digests(self, name: RepositoryName, subject: Digest, after: str) -> AsyncIterator[Digest]:
        """Digests of what may refer to `subject`, from the index and from the tag schema, in order."""
        tagged = sorted(digest for digest in await self._tag_schema(name, subject) if str(digest) > after)
        while True:
            listing = await self._backend.children(keyspace.referrers(name, subject), after=after)
            for entry in listing.entries:
                while tagged and str(tagged[0]) <= entry:
                    if str(tagged[0]) != entry:
                        yield tagged[0]
                    tagged.pop(0)
                if (digest := parsed(entry)) is not None:
                    yield digest
            if not listing.more:
                break
            after = listing.entries[-1]
        for digest in tagged:
            yield digest

    async def _entries(
        self, name: RepositoryName, subject: Digest, after: str
    ) -> AsyncIterator[Mapping[str, object] | None]:
        entry = functools.partial(self._entry, name, subject)
        async for digests in batches(self._backend, self._digests(name, subject, after)):
            for found in await side_by_side(self._backend, entry, digests):
                yield found

    async def _entry(self, name: RepositoryName, subject: Digest, digest: Digest) -> Mapping[str, object] | None:
        if not await self._manifests.has(name, digest):
            return None
        try:
            entry: object = json.loads((await self._backend.get(keyspace.referrer(name, subject, digest))).data)
        except (NotFound, ValueError):
            entry = None  # not entered, or damaged: the manifest itself says what would stand there
        if isinstance(entry, dict):
            return entry
        found = await self._read(name, digest)
        if found is None or found[1].subject is None or found[1].subject.digest != subject:
            return None
        return _descriptor(digest, len(found[0].data), found[1])

    async def _tag_schema(self, name: RepositoryName, subject: Digest) -> set[Digest]:
        """What clients list where there is no referrers API. Source: distribution-spec, "Referrers Tag Schema"."""
        try:
            index = await self._tags.resolve(name, referrers_tag(subject))
        except ManifestUnknown:
            return set()
        found = await self._read(name, index)
        return set() if found is None else {child.digest for child in found[1].manifests}

    async def _read(self, name: RepositoryName, digest: Digest) -> tuple[StoredManifest, Manifest] | None:
        """A manifest of the repository and what it says; None if there is none, or none that we understand."""
        try:
            stored = await self._manifests.get(name, digest)
            return stored, parse_manifest(stored.data, stored.media_type)
        except (ManifestUnknown, ManifestInvalid, ContentCorrupt):
            return None

    async def _revisions(self, name: RepositoryName) -> AsyncIterator[Digest]:
        async for entry in by_digest(self._backend, keyspace.revisions(name), "/link"):
            if entry.digest is not None:
                yield entry.digest


def _descriptor(digest: Digest, size: int, manifest: Manifest) -> dict[str, object]:
    descriptor: dict[str, object] = {"mediaType": manifest.media_type, "digest": str(digest), "size": size}
    if manifest.artifact_type is not None:
        descriptor["artifactType"] = manifest.artifact_type
    if manifest.annotations:
        descriptor["annotations"] = dict(manifest.annotations)
    return descriptor
