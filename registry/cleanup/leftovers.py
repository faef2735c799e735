"""What lies around and belongs to no digest: abandoned uploads and fetches, the past of tags, deletions that cannot be
undone any more, what is kept of empty repositories.

Nobody ever relies on any of it, so it goes without the collector's protocol.
"""

import functools
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

from registry.content import keyspace, paging, walk
from registry.content.side_by_side import batches, side_by_side
from storage_backends.base import ObjectInfo, StorageBackend
from storage_backends.errors import VersionMismatch


class Leftovers:
    """The leftovers of a storage; `now` is its time. A dry run counts and removes nothing."""

    def __init__(self, backend: StorageBackend, now: float, *, dry_run: bool) -> None:
        self._backend = backend
        self._now = now
        self._dry_run = dry_run

    async def sessions(self, lifetime: float) -> AsyncIterator[int]:
        """Remove uploads that nobody has written to for `lifetime` seconds, ours and another registry's; how many, some
        at a time.
        """
        if not self._dry_run:
            yield await self._backend.expire_uploads(keyspace.UPLOADS, lifetime)
        async for name in walk.names(self._backend, keyspace.REPOSITORIES):
            removed = 0
            prefix = f"{keyspace.repository(name)}_uploads/"
            async for session in walk.children(self._backend, prefix):
                keys = [key async for key in paging.keys(self._backend, f"{prefix}{session}/")]
                found = await self._infos(keys)
                if found and max(info.modified for info in found) < self._now - lifetime:
                    removed += 1
                    await self._delete(keys)
            yield removed

    async def tag_history(self, kept: int, since: float) -> AsyncIterator[int]:
        """Forget what tags have named before, but the newest `kept` and what is younger than `since`; how much, tag by
        tag. What a tag names now is no history.
        """
        async for name in walk.names(self._backend, keyspace.REPOSITORIES):
            async for tag in walk.children(self._backend, keyspace.tags(name)):
                yield await self._forget_history(name, tag, kept, since)

    async def gone_tags(self, since: float) -> AsyncIterator[int]:
        """Forget what tags have named that are gone, as killed deletions leave it; how much, some at a time. What is
        younger than `since` stays, as does what a tag can be given back by: its manifest is there.
        """
        async for name in walk.names(self._backend, keyspace.REPOSITORIES):
            async for tags in batches(self._backend, walk.children(self._backend, keyspace.tags(name)), 64):
                keys = [keyspace.tag_current(name, tag) for tag in tags]
                there = await side_by_side(self._backend, functools.partial(walk.is_there, self._backend), keys)
                gone = [tag for tag, is_there in zip(tags, there, strict=True) if not is_there]
                yield sum([await self._forget_gone(name, tag, since) for tag in gone])

    async def trash(self, since: float) -> AsyncIterator[int]:
        """Forget deletions of before `since` (seconds since the epoch), which cannot be undone any more; how many, some
        at a time.
        """
        async for name in walk.names(self._backend, keyspace.OWN_REPOSITORIES):
            async for count in self._old(keyspace.trash(name), since):
                yield count

    async def turns(self, lifetime: float) -> AsyncIterator[int]:
        """Remove turns to fetch a blob that killed processes left `lifetime` seconds ago; how many, some at a time."""
        async for count in self._old(keyspace.FETCHING, self._now - lifetime):
            yield count

    async def empty_repositories(self) -> AsyncIterator[None]:
        """Remove what we keep of repositories in which nothing is left, and names without anything that killed
        deletions left; one repository after the other.
        """
        async for name in walk.names(self._backend, keyspace.REPOSITORIES):
            if not self._dry_run:
                for prefix in (keyspace.manifests(name), keyspace.layers(name)):
                    await self._backend.forget_empty(prefix)
            yield
        async for name in walk.names(self._backend, keyspace.OWN_REPOSITORIES):
            if not await walk.exists(self._backend, name):
                await self._delete([keyspace.referrers_complete(name)])
            yield

    async def _forget_history(self, name: str, tag: str, kept: int, since: float) -> int:
        index = keyspace.tag_indexes(name, tag)
        entries = [entry async for entry in walk.by_digest(self._backend, index, "/link")]
        if len(entries) <= kept + 1:
            return 0
        current = await walk.get_if_there(self._backend, keyspace.tag_current(name, tag))
        if current is None or walk.parsed(current.data.decode("ascii", "replace")) is None:
            return 0  # no tag, or a broken one: what it has named is what it can be repaired from
        past = [entry.key for entry in entries if str(entry.digest).encode() != current.data]
        found = sorted(await self._infos(past), key=lambda info: info.modified, reverse=True)
        old = [info.key for info in found[kept:] if info.modified < since]
        await self._delete(old)
        return len(old)

    async def _forget_gone(self, name: str, tag: str, since: float) -> int:
        index, forgotten = keyspace.tag_indexes(name, tag), 0
        async for entry in walk.by_digest(self._backend, index, "/link"):
            info = await walk.stat_if_there(self._backend, entry.key)
            if entry.digest is None or info is None or info.modified >= since:
                continue
            if await walk.is_there(self._backend, keyspace.revision_link(name, entry.digest)):
                continue
            forgotten += 1
            if not self._dry_run:
                with suppress(VersionMismatch):  # somebody tags it at this moment
                    await self._backend.delete(entry.key, if_match=info.version, durable=False)
        await self._backend.forget_empty(f"{keyspace.tags(name)}{tag}/", dry_run=self._dry_run)
        return forgotten

    async def _old(self, prefix: str, since: float) -> AsyncIterator[int]:
        """Remove what nobody has written since then; how much, some at a time."""
        async for keys in batches(self._backend, paging.keys(self._backend, prefix), 100):
            old = [info.key for info in await self._infos(keys) if info.modified < since]
            await self._delete(old)
            yield len(old)

    async def _infos(self, keys: Iterable[str]) -> list[ObjectInfo]:
        """Of those that are there."""
        return [info for key in keys if (info := await walk.stat_if_there(self._backend, key)) is not None]

    async def _delete(self, keys: list[str]) -> None:
        if keys and not self._dry_run:
            await self._backend.delete_many(keys, durable=False)
