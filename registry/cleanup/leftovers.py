"""What lies around and belongs to no digest: abandoned uploads and fetches, the past of tags, deletions that cannot be
undone any more, what is kept of empty repositories.

Nobody ever relies on any of it, so it goes without the collector's protocol.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress

from registry.content import keyspace, paging, walk
from registry.content.digest import Digest
from registry.content.side_by_side import batches
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

    async def tag_history(self, kept: int | None, since: float) -> AsyncIterator[int]:
        """Forget what tags have named before; how much, tag by tag. What is younger than `since` stays.

        Of a tag that is there the newest `kept` stay (None: all), and what it names now is no history. Of one that is
        gone, as killed pushes and deletions leave it, that stays by which it can be given back: its manifest is there.
        """
        async for name in walk.names(self._backend, keyspace.REPOSITORIES):
            async for tag, keys in self._by_tag(name):
                history = _history(keys, keyspace.tag_indexes(name, tag))
                if keyspace.tag_current(name, tag) not in keys:
                    yield await self._forget_gone(name, history, since)
                elif kept is not None and len(history) > kept + 1:
                    yield await self._forget_history(name, tag, history, kept, since)
                else:
                    yield 0

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

    async def _by_tag(self, name: str) -> AsyncIterator[tuple[str, list[str]]]:
        """All keys of each tag: a listing of them all costs less than one for each tag."""
        prefix, tag = keyspace.tags(name), ""
        found: list[str] = []
        async for key in paging.keys(self._backend, prefix):
            owner = key.removeprefix(prefix).partition("/")[0]
            if owner != tag and found:
                yield tag, found
                found = []
            tag = owner
            found.append(key)
        if found:
            yield tag, found

    async def _forget_history(self, name: str, tag: str, history: Mapping[str, Digest], kept: int, since: float) -> int:
        current = await walk.get_if_there(self._backend, keyspace.tag_current(name, tag))
        if current is None or walk.parsed(current.data.decode("ascii", "replace")) is None:
            return 0  # no tag, or a broken one: what it has named is what it can be repaired from
        past = [key for key, digest in history.items() if str(digest).encode() != current.data]
        found = sorted(await self._infos(past), key=lambda info: info.modified, reverse=True)
        old = [info.key for info in found[kept:] if info.modified < since]
        await self._delete(old)
        return len(old)

    async def _forget_gone(self, name: str, history: Mapping[str, Digest], since: float) -> int:
        forgotten = 0
        for key, digest in history.items():
            info = await walk.stat_if_there(self._backend, key)
            if info is None or info.modified >= since:
                continue
            if await walk.is_there(self._backend, keyspace.revision_link(name, digest)):
                continue
            forgotten += 1
            if not self._dry_run:
                with suppress(VersionMismatch):  # somebody tags it at this moment
                    await self._backend.delete(key, if_match=info.version, durable=False)
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


def _history(keys: Iterable[str], index: str) -> dict[str, Digest]:
    """Those of a tag's keys that say what it has ever named, `<index><alg>/<hex>/link`, and what that is."""
    named = {key: walk.parsed(key.removeprefix(index).removesuffix("/link").replace("/", ":")) for key in keys}
    return {key: digest for key, digest in named.items() if digest is not None}
