"""The contract on a directory. A key is the path below the root; nothing else lies beside the objects.

Metadata and small objects are read on the event loop: that takes microseconds, and a thread hop more. Everything that
writes, syncs or may take long runs in threads. Durability is `publishing`'s and `durable`'s.
"""

import asyncio
import bisect
import os
import stat
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from storage_backends import file_upload
from storage_backends.base import Listing, ObjectInfo, Ready, StorageBackend, StoredObject, Upload
from storage_backends.errors import NotFound, StorageError, Unavailable
from storage_backends.file_upload import FileUpload
from storage_backends.keys import check_key, check_prefix, is_component
from storage_backends.os_errors import reading
from storage_backends.publishing import Publisher, discard, version_of
from storage_backends.sendable import FileRegion
from storage_backends.settled_cache import SettledCache, signature
from storage_backends.waiting import to_its_end

_SMALL = 64 * 1024
_SMALL_TOTAL = 16 * 1024 * 1024
_PARTS_SECONDS = 3600.0
"""After so long without a write, a part of an object that nobody holds is what a killed process left."""
_NAMES_TOTAL = 500_000
_LARGE_DIRECTORY = 256 * 1024
"""A directory of this many bytes takes long enough to read that it is read in a thread."""
T = TypeVar("T")


class FilesystemBackend(StorageBackend):
    """Objects as files below `root`; `scratch` (a prefix of keys) takes temporary files and locks.

    Small objects whose keys begin with `private` can be read by this user alone.
    """

    def __init__(self, root: Path, scratch: str = "cargohold/v1/tmp", threads: int = 16, *, private: str = "") -> None:
        self._root = str(root.absolute())
        self._scratch = f"{self._root}/{scratch}"
        try:
            Path(self._scratch, "locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"cannot use {self._root} as storage: {error.strerror}; choose a directory that the server may write to"
            ) from error
        self._publisher = Publisher(self._root, self._scratch, private)
        self._passing = Publisher(self._root, self._scratch, private, synced=False)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="storage")
        self._small: SettledCache[StoredObject] = SettledCache(_SMALL_TOTAL)
        self._names: SettledCache[Sequence[str]] = SettledCache(_NAMES_TOTAL)

    async def get(self, key: str) -> StoredObject:
        """See the contract."""
        path = self._path(key)
        try:
            found = self._small.lookup(path, signature(os.stat(path)))
            return self._read_small(path, key) if found is None else found
        except OSError as error:
            raise self._failure(error, key) from error

    async def put(
        self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None, durable: bool = True
    ) -> None:
        """See the contract."""
        check_key(key)
        publisher = self._publisher if durable else self._passing
        if if_absent:
            await self._in_thread(publisher.put_if_absent, key, data)
        elif if_match is not None:
            await self._in_thread(publisher.put_if_match, key, data, if_match)
        else:
            await self._in_thread(publisher.put_all, [(key, data)])

    async def put_many(self, items: Sequence[tuple[str, bytes]]) -> None:
        """See the contract."""
        for key, _ in items:
            check_key(key)
        await self._in_thread(self._publisher.put_all, items)

    async def stat(self, key: str) -> ObjectInfo:
        """See the contract."""
        try:
            return _info(key, os.stat(self._path(key)))
        except OSError as error:
            raise self._failure(error, key) from error

    async def delete(self, key: str, *, if_match: str | None = None, durable: bool = True) -> None:
        """See the contract."""
        check_key(key)
        publisher = self._publisher if durable else self._passing
        if if_match is None:
            await self._in_thread(publisher.delete_all, [key])
        else:
            await self._in_thread(publisher.delete_if_match, key, if_match)

    async def delete_many(self, keys: Sequence[str], *, durable: bool = True) -> None:
        """See the contract."""
        for key in keys:
            check_key(key)
        publisher = self._publisher if durable else self._passing
        await self._in_thread(publisher.delete_all, keys)

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        """See the contract."""
        check_prefix(prefix)
        keys = await self._in_thread(self._first_keys, prefix, after, limit + 1)
        return Listing(tuple(keys[:limit]), len(keys) > limit)

    async def children(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        """See the contract."""
        check_prefix(prefix)
        names = await self._names_in(f"{self._root}/{prefix}".rstrip("/"), prefix)
        start = bisect.bisect_right(names, after) if after else 0
        return Listing(tuple(names[start : start + limit]), len(names) > start + limit)

    async def forget_empty(self, prefix: str, *, dry_run: bool = False) -> bool:
        """See the contract."""
        check_prefix(prefix)
        directory = f"{self._root}/{prefix}".rstrip("/")
        try:
            is_empty = _is_empty(directory)
        except OSError as error:
            raise self._failure(error, prefix) from error
        if is_empty and not self._is_there():
            raise self._gone()
        if is_empty and not dry_run:
            await self._in_thread(self._publisher.remove_empty, directory)
        return is_empty

    async def open_read(self, key: str, start: int = 0, length: int | None = None) -> FileRegion:
        """See the contract."""
        try:
            fd = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._failure(error, key) from error
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise NotFound(key)
        size = status.st_size
        return FileRegion(fd, start, size - start if length is None else length, size)

    async def copy(self, source: str, target: str) -> None:
        """See the contract."""
        check_key(source)
        check_key(target)
        await self._in_thread(self._publisher.copy, source, target)

    async def create_upload(self, key: str) -> None:
        """See the contract."""
        check_key(key)
        self._publisher.create_empty(key)

    async def stat_upload(self, key: str) -> ObjectInfo:
        """See the contract."""
        return await self.stat(key)

    async def open_unfinished(self, key: str) -> FileRegion:
        """See the contract."""
        return await self.open_read(key)

    @asynccontextmanager
    async def open_upload(self, key: str, target: str | None = None) -> AsyncIterator[Upload]:
        """See the contract."""
        upload = file_upload.open_locked(self._path(key), key, self._commit)
        try:
            yield upload
        finally:
            os.close(upload.fd)

    @asynccontextmanager
    async def new_upload(self, target: str) -> AsyncIterator[Upload]:
        """See the contract."""
        check_key(target)
        path = self._publisher.create_temporary()
        upload = file_upload.open_locked(path, target, self._commit)
        try:
            yield upload
        finally:
            discard(path)
            os.close(upload.fd)

    async def expire_uploads(self, prefix: str, older_than: float) -> int:
        """See the contract."""
        check_prefix(prefix)
        try:
            return await self._in_thread(self._expire, prefix, older_than)
        except OSError as error:
            raise self._failure(error, prefix) from error

    async def check(self) -> None:
        """See the contract."""
        probe = f"{self._scratch[len(self._root) + 1 :]}/check-{uuid.uuid4().hex}"  # others check at the same moment
        try:
            await self.put(probe, b"ready")
            await self.get(probe)
        except NotFound as error:
            raise Unavailable(f"{self._root} does not keep what is written to it") from error
        finally:
            await self.delete(probe)

    async def _commit(
        self, upload: FileUpload, key: str, first: Sequence[tuple[str, bytes]], ready: Ready | None
    ) -> None:
        places = [place for place, _ in first]
        for place in (key, *places):
            check_key(place)
        await self._in_thread(self._publisher.prepare, upload.sync, key, first)
        if ready is not None:
            await ready()
        await self._in_thread(self._publisher.commit, upload.path, key, places)

    def _failure(self, error: OSError, key: str) -> StorageError:
        """What it means that something cannot be read. Where nothing is mounted nobody knows what is not there."""
        failure = reading(error, key)
        return self._gone() if isinstance(failure, NotFound) and not self._is_there() else failure

    def _is_there(self) -> bool:
        return os.path.isdir(self._scratch)

    def _gone(self) -> Unavailable:
        return Unavailable("the storage's directory is gone: mount it again, or restart if it is meant to be empty")

    def _path(self, key: str) -> str:
        check_key(key)
        return f"{self._root}/{key}"

    def _read_small(self, path: str, key: str) -> StoredObject:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            data = _read_all(fd, status.st_size)
        finally:
            os.close(fd)
        found = StoredObject(data, _info(key, status))
        if len(data) <= _SMALL:
            self._small.keep(path, status, found, len(data) + 512)
        return found

    async def _names_in(self, path: str, key: str) -> Sequence[str]:
        """The names in a directory, in order; none if it is not there."""
        try:
            status = os.stat(path)
            names = self._names.lookup(path, signature(status))
            if names is None:
                large = status.st_size > _LARGE_DIRECTORY
                names = await self._in_thread(_sorted_names, path) if large else _sorted_names(path)
                self._names.keep(path, status, names, len(names) + 1)
        except OSError as error:
            failure = self._failure(error, key)
            if isinstance(failure, NotFound):
                return []
            raise failure from error
        return names

    def _first_keys(self, prefix: str, after: str, count: int) -> Sequence[str]:
        keys = []
        try:
            for key in self._walk(prefix.rpartition("/")[0], prefix, after):
                keys.append(key)
                if len(keys) == count:
                    break
        except OSError as error:
            raise self._failure(error, prefix) from error
        return keys

    def _expire(self, prefix: str, older_than: float) -> int:
        now = time.time()
        uploads = [self._path(key) for key in self._first_keys(prefix, "", sys.maxsize)]
        parts = [entry.path for entry in os.scandir(self._scratch) if entry.is_file(follow_symlinks=False)]
        parts_since = now - min(older_than, _PARTS_SECONDS)
        return sum(file_upload.remove_if_left(path, now - older_than) for path in uploads) + sum(
            file_upload.remove_if_left(path, parts_since) for path in parts
        )

    def _walk(self, directory: str, prefix: str, after: str) -> Iterator[str]:
        """Keys below a directory in byte order, skipping subtrees that lie wholly outside prefix or before `after`."""
        try:
            with os.scandir(f"{self._root}/{directory}") as entries:
                found = sorted(
                    entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name
                    for entry in entries
                    if is_component(entry.name)
                )
        except (FileNotFoundError, NotADirectoryError) as error:
            failure = self._failure(error, prefix)
            if isinstance(failure, NotFound):
                return
            raise failure from error
        base = f"{directory}/" if directory else ""
        for name in found:
            key = base + name
            if not name.endswith("/"):
                if key.startswith(prefix) and key > after:
                    yield key
            elif (key.startswith(prefix) or prefix.startswith(key)) and (key > after or after.startswith(key)):
                yield from self._walk(key[:-1], prefix, after)

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """Run blocking work. Not given up when the caller is: a half-done write would go on anyway, unseen."""
        return await to_its_end(asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments))


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    if not stat.S_ISREG(status.st_mode):
        raise NotFound(key)
    return ObjectInfo(key, status.st_size, status.st_mtime, version_of(status))


def _read_all(fd: int, size: int) -> bytes:
    data = os.read(fd, size + 1)
    while len(data) < size:
        more = os.read(fd, size - len(data))
        if not more:
            break
        data += more
    return data


def _is_empty(directory: str) -> bool:
    """True if there are only directories in it, and in those, or if it is gone. Raises `OSError`."""
    try:
        found = os.scandir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return True  # one that goes while we look says nothing about what lies beside it
    with found as entries:
        return all(entry.is_dir(follow_symlinks=False) and _is_empty(entry.path) for entry in entries)


def _sorted_names(path: str) -> list[str]:
    return sorted(os.listdir(path))
