"""Copies a whole registry from one storage to another, through the storage contract alone. Prints nothing.

The order is the safety: blobs first, then what is known about manifests and the accounts, then links, tags last. A copy
that is stopped anywhere therefore never shows a tag, or a manifest, whose content is missing. What is there already is
left alone, so that the next run goes on from there, and brings what has been pushed meanwhile. When manifests were
pushed goes with them: see `push_times`. When they were pulled is the time of an object, which is that of the copy then.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from registry.content import keyspace, push_times
from registry.content.digest import Digest, Hasher
from registry.content.errors import DigestInvalid
from registry.content.paging import pages
from registry.content.side_by_side import all_of
from registry.content.walk import get_if_there, stat_if_there
from storage_backends.base import ObjectInfo, StorageBackend, Upload
from storage_backends.errors import InvalidKey, NotFound
from storage_backends.sendable import FileRegion, Sendable

_NOT_COPIED = (
    f"{keyspace.SCRATCH}/",
    keyspace.UPLOADS,
    keyspace.GC,
    keyspace.FETCHING,
    keyspace.QUARANTINE,
    keyspace.SCRUB,
    keyspace.SYNC,
)
"""What is under way, or is about this storage alone."""
_BLOCK = 1024 * 1024
_SAME_SECONDS = 1.0
"""Some storages keep the times of objects in whole seconds."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An object that was not copied, and why."""

    key: str
    reason: str


@dataclass(slots=True)
class Progress:
    """How far a copy is; sizes in bytes. Sizes of links are not counted."""

    objects: int = 0
    size: int = 0
    objects_done: int = 0
    size_done: int = 0
    copied: int = 0
    size_copied: int = 0
    verified: int = 0
    failed: list[Failed] = field(default_factory=list)


class StorageCopy:
    """One copy from `source` to `target`, of `jobs` objects at a time."""

    def __init__(self, source: StorageBackend, target: StorageBackend, jobs: int) -> None:
        self.progress = Progress()
        self._source = source
        self._target = target
        self._jobs = jobs

    async def is_registry(self) -> bool:
        """True if there is something to copy at all."""
        return bool((await self._source.children(keyspace.DISTRIBUTION, limit=1)).entries)

    async def count(self) -> None:
        """Find out how much there is: the totals in `progress`."""

        async def measure(key: str) -> None:
            try:
                size = (await self._source.stat(key)).size
            except NotFound:
                return  # deleted meanwhile
            self.progress.size += size

        async for keys in self._stages():
            self.progress.objects += len(keys)
            await self._each([key for key in keys if _is_blob(key)], measure)

    async def run(self, *, dry_run: bool = False) -> None:
        """Copy what the target does not have. Raises `StorageError` if one of the two storages fails."""
        async for keys in self._stages():
            await self._each(keys, lambda key: self._copy(key, dry_run=dry_run))

    async def verify(self) -> None:
        """Read every blob at the target, and compare its digest with its name."""

        async def check(key: str) -> None:
            digest = _digest_of(key)
            if digest is None:
                return
            try:
                found = await _hash(await self._target.open_read(key), digest.algorithm)
            except NotFound:
                self._fail(key, "is not at the target")
                return
            except OSError as error:
                self._fail(key, f"cannot be read at the target: {error.strerror}")
                return
            if found != digest:
                self._fail(key, f"has the digest {found} at the target")
            self.progress.verified += 1

        async for keys in pages(self._source, keyspace.BLOBS):
            await self._each(keys, check)

    async def _stages(self) -> AsyncIterator[Sequence[str]]:
        """All keys, page by page, in the order in which they may become visible."""
        async for keys in pages(self._source, keyspace.BLOBS):
            yield keys
        async for keys in pages(self._source, keyspace.OWN):
            yield [key for key in keys if not key.startswith(_NOT_COPIED) and "/_pushed/" not in key]
        async for keys in pages(self._source, keyspace.REPOSITORIES):
            # in these pages, too, the layers of a repository come before its manifests
            yield [key for key in keys if _is_layer(key)]
            yield [key for key in keys if _is_other(key)]
        for stage in (_is_history, _is_tag):
            async for keys in pages(self._source, keyspace.REPOSITORIES):
                yield [key for key in keys if stage(key)]

    async def _each(self, keys: Sequence[str], work: Callable[[str], Awaitable[None]]) -> None:
        places = asyncio.Semaphore(self._jobs)

        async def one(key: str) -> None:
            async with places:
                await work(key)

        await all_of([one(key) for key in keys])

    async def _copy(self, key: str, *, dry_run: bool) -> None:
        try:
            if _is_blob(key):
                await self._copy_blob(key, dry_run=dry_run)
            elif (manifest := _manifest_of(key)) is not None:
                await self._copy_manifest_link(key, *manifest, dry_run=dry_run)
            else:
                await self._copy_small(key, dry_run=dry_run)
        except NotFound:
            pass  # deleted meanwhile at the source
        except InvalidKey as error:
            self._fail(key, str(error))
        except OSError as error:
            self._fail(key, f"cannot be read at the source: {error.strerror}")
        self.progress.objects_done += 1

    async def _copy_small(self, key: str, *, dry_run: bool) -> None:
        found = await self._source.get(key)
        there = await get_if_there(self._target, key)
        if there is not None and there.data == found.data and not _says_more(found.info, there.info):
            return
        if not dry_run:
            await self._target.put(key, found.data)
        self.progress.copied += 1

    async def _copy_manifest_link(self, key: str, name: str, digest: Digest, *, dry_run: bool) -> None:
        found = await self._source.get(key)
        there = await get_if_there(self._target, key)
        is_new = there is None or there.data != found.data
        self.progress.copied += is_new
        if dry_run:
            return
        pushed = await push_times.pushed(self._source, name, digest, found.info)
        if there is None or is_new:
            await push_times.copy_link(self._target, name, digest, found.data, pushed)
        else:
            await push_times.keep(self._target, name, digest, there.info, pushed)

    async def _copy_blob(self, key: str, *, dry_run: bool) -> None:
        size = (await self._source.stat(key)).size
        there = await stat_if_there(self._target, key)
        if (there is None or there.size != size) and (dry_run or await self._stream(key)):
            self.progress.copied += 1
            self.progress.size_copied += size
        self.progress.size_done += size

    async def _stream(self, key: str) -> bool:
        """Copy the bytes of a blob; they become visible only if they have the digest that they are named after."""
        digest = _digest_of(key)
        hasher = Hasher(digest.algorithm if digest else "sha256")
        async with self._target.new_upload(key) as upload:
            await _pour(await self._source.open_read(key), hasher, upload)
            if digest is not None and hasher.digest() != digest:
                self._fail(key, f"has the digest {hasher.digest()} at the source: its bytes are damaged")
                return False
            await upload.commit(key)
        return True

    def _fail(self, key: str, reason: str) -> None:
        self.progress.failed.append(Failed(key, reason))


def _is_blob(key: str) -> bool:
    return key.startswith(keyspace.BLOBS)


def _is_history(key: str) -> bool:
    return "/_manifests/tags/" in key and not key.endswith("/current/link")


def _is_tag(key: str) -> bool:
    return "/_manifests/tags/" in key and key.endswith("/current/link")


def _is_layer(key: str) -> bool:
    return "/_layers/" in key


def _is_other(key: str) -> bool:
    return not any(place in key for place in ("/_layers/", "/_manifests/tags/", "/_uploads/"))


def _digest_of(key: str) -> Digest | None:
    """The digest that a blob's key names: `…/<alg>/<2 hex>/<hex>/data`; None if it is no such key."""
    parts = key.removeprefix(keyspace.BLOBS).split("/")
    try:
        return Digest.parse(f"{parts[0]}:{parts[2]}") if len(parts) == 4 and parts[3] == "data" else None
    except DigestInvalid:
        return None


def _manifest_of(key: str) -> tuple[str, Digest] | None:
    """The repository and the digest that a manifest's link names; None if it is no such key."""
    name, _, rest = key.removeprefix(keyspace.REPOSITORIES).partition("/_manifests/revisions/")
    parts = rest.split("/")
    try:
        return (name, Digest.parse(f"{parts[0]}:{parts[1]}")) if len(parts) == 3 and parts[2] == "link" else None
    except DigestInvalid:
        return None


def _says_more(found: ObjectInfo, there: ObjectInfo) -> bool:
    """True of the times of pulls, which are those of the objects, if the later one is at the source."""
    is_time = "/_pulls/" in found.key or found.key == keyspace.PULLS_SINCE
    return is_time and found.modified - there.modified >= _SAME_SECONDS


async def _hash(opened: Sendable, algorithm: str) -> Digest:
    hasher = Hasher(algorithm)
    await _pour(opened, hasher, None)
    return hasher.digest()


async def _pour(opened: Sendable, hasher: Hasher, upload: Upload | None) -> None:
    """Read everything, show it to the hasher, and write it to the upload if there is one."""

    def take(block: bytes) -> None:
        hasher.update(memoryview(block))
        if upload is not None:
            upload.write(memoryview(block))

    def read_and_take(region: FileRegion) -> None:
        offset = region.offset
        while block := os.pread(region.fd, _BLOCK, offset):
            take(block)
            offset += len(block)

    try:
        if isinstance(opened, FileRegion):
            await asyncio.to_thread(read_and_take, opened)
            return
        async with aclosing(opened.blocks) as blocks:
            async for block in blocks:
                await asyncio.to_thread(take, block)
    finally:
        opened.close()
