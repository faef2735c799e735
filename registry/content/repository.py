"""The rules of a push and a pull. Knows names, digests and manifests; no status code, no header, no backend's workings.

A repository is a border: nothing is readable through it that was not pushed or mounted into it.
"""

import functools
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass

from registry.content import catalog, keyspace
from registry.content.blob_store import BlobStore
from registry.content.catalog import View
from registry.content.descriptors import Descriptor
from registry.content.digest import CANONICAL, Digest
from registry.content.errors import (
    ContentCorrupt,
    DigestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
    NameUnknown,
    ReferencesUnknown,
    TagImmutable,
)
from registry.content.immutable_tags import Covers, ImmutableTags, nothing
from registry.content.leases import Leases
from registry.content.manifest_store import ManifestStore, StoredManifest, unknown
from registry.content.manifests import Manifest, parse_manifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.paging import Page
from registry.content.pull_times import PullTimes
from registry.content.referrer_index import ReferrerIndex, ReferrersPage
from registry.content.side_by_side import side_by_side
from registry.content.tag_store import TagStore, changed
from registry.content.trash import Deleted, Trash, of_manifest
from registry.content.upload_sessions import UploadSessions
from registry.content.walk import get_if_there
from storage_backends.base import StorageBackend

_MOST_MISSING = 1000
"""When so much of what a manifest names is not there, nobody looks for more."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a registry accepts; sizes in bytes, 0 for no limit."""

    max_manifest_bytes: int = 4 * 1024 * 1024
    max_blob_bytes: int = 0
    check_references: bool = True
    allow_sparse_indexes: bool = False
    allow_foreign_layers: bool = True
    grace_seconds: float = 3600.0
    """For so long garbage collection leaves alone what was pushed and is not needed yet, or was deleted."""


Expected = Callable[[Digest | None], bool]
"""Whether something may be put in the place of what a reference names now; None if that is nothing."""


@dataclass(frozen=True, slots=True)
class PushedManifest:
    """What a manifest push has made."""

    digest: Digest
    tags: tuple[Tag, ...]
    subject: Digest | None


class Registry:
    """All repositories of one storage; `immutable` says which tags stay what they are once they are there."""

    def __init__(self, backend: StorageBackend, rules: Rules, immutable: Covers = nothing) -> None:
        self.rules = rules
        self._leases = Leases(backend, rules.grace_seconds)
        self.blobs = BlobStore(backend, self._leases)
        self.uploads = UploadSessions(backend, self._leases, rules.max_blob_bytes)
        self.pulls = PullTimes(backend)
        self._backend = backend
        self._manifests = ManifestStore(backend)
        self._tags = TagStore(backend)
        self._trash = Trash(backend, rules.grace_seconds)
        self._immutable = ImmutableTags(immutable, self._tags, self._manifests)
        self._referrers = ReferrerIndex(backend, self._manifests, self._tags)

    async def mount(self, name: RepositoryName, digest: Digest, source: RepositoryName | None) -> bool:
        """Make a blob of `source` (of any repository if None) part of this one; False if it is not there (end-11)."""
        there = await (self.blobs.has_bytes(digest) if source is None else self.blobs.has(source, digest))
        if not there:
            return False
        await self.blobs.link(name, digest)
        return await self.blobs.has_bytes(digest)  # nobody may have needed it until the link was there

    async def resolve(self, name: RepositoryName, reference: Reference) -> Digest:
        """The digest of a manifest that is there, by tag or digest. Raises `ManifestUnknown`."""
        digest = reference if isinstance(reference, Digest) else await self._tags.resolve(name, reference)
        if not await self._manifests.has(name, digest):
            raise unknown(name, digest)
        return digest

    async def tag_age(self, name: RepositoryName, tag: Tag) -> float | None:
        """For how many seconds a tag has named what it names; None if it is not there."""
        return await self._tags.age(name, tag)

    async def get_manifest(self, name: RepositoryName, reference: Reference, *, is_pull: bool = True) -> StoredManifest:
        """A manifest by tag or digest (end-3); noted as pulled if it `is_pull`. Raises `ManifestUnknown`."""
        digest = reference if isinstance(reference, Digest) else await self._tags.resolve(name, reference)
        stored = await self._manifests.get(name, digest)
        if is_pull:
            self.pulls.note(name, digest)
        return stored

    async def put_manifest(
        self,
        name: RepositoryName,
        reference: Reference,
        data: bytes,
        media_type: str | None,
        tags: Sequence[Tag] = (),
        *,
        sparse: bool = False,
        lacking: Collection[Digest] = (),
        expected: Expected | None = None,
    ) -> PushedManifest:
        """Store a manifest byte for byte under its digest, and move the tags to it (end-7); durable on return.

        What a `sparse` one refers to need not be there: it comes when it is asked for. Nor need be what one is
        `lacking`. What the reference names now must be `expected`, until its tag is moved.

        Raises `ManifestTooLarge`, `ManifestInvalid`, `DigestInvalid`, `ReferencesUnknown`, `TagImmutable`,
        `TagChanged`; nothing is stored then (but the manifest, without a tag, if another push has made the immutable
        tag, or moved the expected one, meanwhile).
        """
        if len(data) > self.rules.max_manifest_bytes:
            raise ManifestTooLarge(f"the manifest is larger than {self.rules.max_manifest_bytes} bytes")
        digest = Digest.of(data, reference.algorithm if isinstance(reference, Digest) else CANONICAL)
        if isinstance(reference, Digest) and reference != digest:
            raise DigestInvalid(f"the manifest has the digest {digest}, not {reference}", {"digest": str(digest)})
        manifest = parse_manifest(data, media_type)
        moved = tuple(dict.fromkeys((*(() if isinstance(reference, Digest) else (reference,)), *tags)))
        for tag in moved:
            if self._immutable.has(name, tag):
                await self._tags.check_free(name, tag, digest)
        if expected is not None:
            await self._seen(name, reference, expected)
            expected = expected if isinstance(reference, Tag) else None  # that was of the digest, and not of the tags
        subjects = (manifest.subject,) if manifest.subject else ()
        needed = (digest, *(one.digest for one in (*manifest.blobs, *manifest.manifests, *subjects)))
        async with self._leases.intent(needed) as intent:
            while True:
                if not sparse:
                    await self.check_references(name, manifest, lacking)
                await self._store(name, digest, data, manifest, moved, expected=expected)
                expected = _nothing_or(digest) if expected is not None else None
                if await intent.stands():
                    break
                await intent.write()  # this process was stopped for an hour: nothing that was found is sure any more
        return PushedManifest(digest, moved, manifest.subject.digest if manifest.subject else None)

    async def delete_manifest(self, name: RepositoryName, digest: Digest, expected: Expected | None = None) -> None:
        """Remove a manifest and every tag that names it (end-9), if it is `expected` there. Raises `ManifestUnknown`,
        `TagImmutable`, `TagChanged`.

        What is needed to restore it is written down before anything goes. Tags go first then, so that a crash leaves an
        untagged manifest and no tag to nowhere; and once more afterwards, for a push may have tagged it in between. A
        tag that is moved meanwhile stays, as does all that a push of the same manifest has made after its link was
        gone; and for an immutable tag the manifest comes back. See `_store` for the other side.
        """
        try:
            stored = await self._manifests.get(name, digest)
        except ContentCorrupt:
            stored = None  # what its subject was nobody can tell; listings leave the entry out
        await self._immutable.check_not_needed(name, digest)
        if expected is not None:
            await self._seen(name, digest, expected)
        tags = await self._tags.naming(name, digest)
        for tag in tags:
            self._immutable.check_removable(name, tag)  # pushed since we have looked
        if stored is not None:
            await self._trash.keep(of_manifest(name, stored, tags))
        await self._remove_tags(name, digest, tags)
        await self._manifests.remove(name, digest)
        late = await self._tags.naming(name, digest)
        for tag in late:
            if stored is not None and self._immutable.has(name, tag) and not await self._manifests.has(name, digest):
                await self._manifests.put(name, digest, stored.data, stored.media_type)
                self._immutable.check_removable(name, tag)
        if stored is not None and late:
            await self._trash.keep(of_manifest(name, stored, late))
        await self._remove_tags(name, digest, late, unless_there=True)
        if stored is not None:
            await self._referrers.remove(name, stored)

    async def delete_blob(self, name: RepositoryName, digest: Digest) -> None:
        """Take a blob out of the repository (end-10); the bytes stay. Raises `BlobUnknown`, `TagImmutable`."""
        await self._immutable.check_not_needed(name, digest)
        await self.blobs.unlink(name, digest)

    async def delete_tag(self, name: RepositoryName, tag: Tag, expected: Expected | None = None) -> None:
        """Remove a tag, if it names what is `expected`; the manifest stays (end-9). Raises `ManifestUnknown`,
        `TagImmutable`, `TagChanged`.
        """
        version = await self._seen(name, tag, expected) if expected is not None else None
        digest = await self._tags.resolve(name, tag)
        self._immutable.check_removable(name, tag)
        await self._trash.keep(Deleted(name, digest, (tag,)))
        if version is None:
            await self._tags.remove(name, tag)
        elif not await self._tags.remove_version(name, tag, version):
            raise changed(name, tag)

    async def tags(self, name: RepositoryName, after: str, limit: int) -> Page:
        """A page of the repository's tags (end-8). Raises `NameUnknown`."""
        page = await self._tags.page(name, after, limit)
        if not page.names:
            await self._check_exists(name)
        return page

    async def referrers(
        self, name: RepositoryName, subject: Digest, artifact_type: str | None, after: str, limit: int
    ) -> ReferrersPage:
        """A page of what refers to a manifest, which need not be there (end-12)."""
        return await self._referrers.page(name, subject, artifact_type, after, limit)

    async def repositories(self, after: str, limit: int, view: View = catalog.EVERYTHING) -> Page:
        """A page of the registry's repositories, of those in `view`."""
        return await catalog.repositories(self._backend, after, limit, view)

    async def _seen(self, name: RepositoryName, reference: Reference, expected: Expected) -> str | None:
        """The version of a tag that names what is `expected`; of a digest and of no tag None. Raises `TagChanged`."""
        link = None
        if isinstance(reference, Tag):
            link = await get_if_there(self._backend, keyspace.tag_current(name, reference))
        try:
            found = await self.resolve(name, reference)
        except ManifestUnknown:
            found = None
        if not expected(found):
            raise changed(name, reference)
        return link.info.version if link is not None else None

    async def _store(
        self,
        name: RepositoryName,
        digest: Digest,
        data: bytes,
        manifest: Manifest,
        tags: Sequence[Tag],
        *,
        expected: Expected | None,
    ) -> None:
        """Make a checked manifest visible. Each step is durable before the next: a tag never names what isn't there."""
        while True:
            # 1. The referrers entry: alone it shows nothing, for listings leave out manifests that are not there.
            await self._referrers.add(name, digest, len(data), manifest)
            # 2. Bytes, media type and link: the manifest can be pulled by digest.
            await self._manifests.put(name, digest, data, manifest.media_type)
            # 3. The tags.
            for tag in tags:
                if self._immutable.has(name, tag):
                    await self._tags.create(name, tag, digest)
                elif expected is not None:
                    await self._tags.replace(name, tag, digest, await self._seen(name, tag, expected))
                    expected = _nothing_or(digest)  # when we begin again
                else:
                    await self._tags.move(name, tag, digest)
            # 4. A deletion of this manifest may have run between 1 and 3. Either it comes after this look and then sees
            #    what we made, or the look sees what it took and we begin again: no acknowledged tag names nothing, and
            #    no acknowledged referrer is missing from the list.
            if await self._manifests.has(name, digest) and await self._referrers.has(name, digest, manifest):
                return

    async def check_references(self, name: RepositoryName, manifest: Manifest, lacking: Collection[Digest]) -> None:
        """See that all but what may be `lacking` is there that a manifest refers to. Raises `ReferencesUnknown`."""
        if not self.rules.check_references:
            return
        blobs = [blob for blob in manifest.blobs if blob.digest not in lacking]
        missing = await self._missing(name, blobs, self._may_use)
        if not self.rules.allow_sparse_indexes:
            children = [child for child in manifest.manifests if child.digest not in lacking]
            missing += await self._missing(name, children, self._is_child)
        if missing:
            raise ReferencesUnknown(list(dict.fromkeys(str(descriptor.digest) for descriptor in missing)))

    async def _missing(
        self,
        name: RepositoryName,
        descriptors: Sequence[Descriptor],
        is_there: Callable[[RepositoryName, Descriptor], Coroutine[None, None, bool]],
    ) -> list[Descriptor]:
        """Those that are not there, or a thousand of them: each costs a request, and a liar names very many."""
        missing: list[Descriptor] = []
        for start in range(0, len(descriptors), _MOST_MISSING):
            batch = descriptors[start : start + _MOST_MISSING]
            found = await side_by_side(self._backend, functools.partial(is_there, name), batch)
            missing += [descriptor for descriptor, there in zip(batch, found, strict=True) if not there]
            if len(missing) >= _MOST_MISSING:
                break
        return missing

    async def _is_child(self, name: RepositoryName, child: Descriptor) -> bool:
        """True if an index may name it: a manifest that is here, or a blob, as build caches list them."""
        return await self._manifests.has(name, child.digest) or await self.blobs.has(name, child.digest)

    async def _may_use(self, name: RepositoryName, blob: Descriptor) -> bool:
        return (blob.foreign and self.rules.allow_foreign_layers) or await self.blobs.has(name, blob.digest)

    async def _remove_tags(
        self, name: RepositoryName, digest: Digest, tags: Sequence[Tag], *, unless_there: bool = False
    ) -> None:
        for tag in tags:
            # the version is read before the look at the manifest: a push links the manifest before it moves the tag,
            # so a version that came with a new link is not removed
            while (version := await self._tags.version(name, tag, digest)) is not None:
                if unless_there and await self._manifests.has(name, digest):
                    break
                await self._tags.remove_version(name, tag, version)
                if not unless_there or not await self._manifests.has(name, digest):
                    break
                # unless it is the same as that of the old one, as in a bucket
                with suppress(TagImmutable):  # it names another manifest now
                    await self._tags.create(name, tag, digest)

    async def _check_exists(self, name: RepositoryName) -> None:
        for prefix in (keyspace.manifests(name), keyspace.layers(name)):
            if (await self._backend.children(prefix, limit=1)).entries:
                return
        raise NameUnknown(f"there is no repository {name}", {"name": str(name)})


def _nothing_or(digest: Digest) -> Expected:
    """What a tag may name that was moved to `digest`, unless somebody has moved it since."""
    return lambda found: found is None or found == digest
