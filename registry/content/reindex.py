"""Rebuilds what can be rebuilt: the referrers of every repository, from its manifests.

So it adopts a tree that another registry wrote. Runs beside a serving registry:
entries are only ever added, or removed when their manifest is gone.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from registry.content import catalog, keyspace
from registry.content.digest import Digest
from registry.content.errors import DigestInvalid
from registry.content.manifest_store import ManifestStore
from registry.content.names import RepositoryName
from registry.content.paging import keys
from registry.content.referrer_index import ReferrerIndex
from registry.content.tag_store import TagStore
from storage_backends.base import StorageBackend

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Reindexed:
    """What was found in one repository: manifests that have a subject, and entries whose manifest was gone."""

    name: str
    referrers: int
    removed: int


async def reindex(backend: StorageBackend, *, dry_run: bool = False) -> AsyncIterator[Reindexed]:
    """Rebuild the indexes of every repository, one after the other; with `dry_run` only look."""
    manifests = ManifestStore(backend)
    index = ReferrerIndex(backend, manifests, TagStore(backend))
    after = ""
    while True:
        page = await catalog.repositories(backend, after, _PAGE)
        for text in page.names:
            name = RepositoryName.parse(text)
            referrers = await index.rebuild(name, dry_run=dry_run)
            removed = await _drop_stale(backend, manifests, name, dry_run)
            if removed and not dry_run:
                await index.rebuild(name)  # a push may have brought the manifest of an entry that has just gone
            yield Reindexed(text, referrers, removed)
        if not page.more:
            return
        after = page.names[-1]


async def _drop_stale(backend: StorageBackend, manifests: ManifestStore, name: RepositoryName, dry_run: bool) -> int:
    removed = 0
    async for key in keys(backend, keyspace.all_referrers(name)):
        if not await _names_manifest(manifests, name, key):
            removed += 1
            if not dry_run:
                await backend.delete(key)
    return removed


async def _names_manifest(manifests: ManifestStore, name: RepositoryName, key: str) -> bool:
    try:
        return await manifests.has(name, Digest.parse(key.rpartition("/")[2]))
    except DigestInvalid:
        return False
