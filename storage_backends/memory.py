"""The contract in a dictionary, for tests. One process, nothing durable, otherwise the same behaviour."""

import bisect
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from storage_backends.base import Listing, ObjectInfo, Ready, StorageBackend, StoredObject, Upload
from storage_backends.errors import AlreadyExists, NotFound, UploadBusy, VersionMismatch
from storage_backends.keys import check_key, check_prefix
from storage_backends.sendable import ByteStream


@dataclass(slots=True)
class _Session:
    """What was saved of an upload."""

    data: bytes = b""
    note: str = ""
    saved: float = field(default_factory=time.time)


class _Upload(Upload):
    def __init__(self, backend: "MemoryBackend", key: str, session: _Session) -> None:
        self.size = len(session.data)
        self.note = session.note
        self._backend = backend
        self._key = key
        self._session = session
        self._data = bytearray(session.data)

    def write(self, block: memoryview) -> None:
        self._data += block
        self.size = len(self._data)

    async def save(self, note: str = "") -> None:
        self._session.data, self._session.note, self._session.saved = bytes(self._data), note, time.time()

    async def rewind(self) -> None:
        self._data = bytearray(self._session.data)
        self.size = len(self._data)

    def read_blocks(self) -> Iterator[memoryview]:
        yield memoryview(bytes(self._data))

    async def commit(self, key: str, first: Sequence[tuple[str, bytes]] = (), ready: Ready | None = None) -> None:
        await self._backend.put_many(first)
        if ready is not None:
            await ready()
        await self._backend.put(key, bytes(self._data))
        self._backend.forget(self._key)

    async def abort(self) -> None:
        self._backend.forget(self._key)


class MemoryBackend(StorageBackend):
    """Objects in a dictionary; `clock` tells the time of each."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._objects: dict[str, StoredObject] = {}
        self._uploads: dict[str, _Session] = {}
        self._held: set[str] = set()
        self._versions = itertools.count(1)

    async def get(self, key: str) -> StoredObject:
        """See the contract."""
        check_key(key)
        try:
            return self._objects[key]
        except KeyError as error:
            raise NotFound(key) from error

    async def put(
        self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None, durable: bool = True
    ) -> None:
        """See the contract."""
        check_key(key)
        there = self._objects.get(key)
        if if_absent and there is not None:
            raise AlreadyExists(key)
        if if_match is not None and (there is None or there.info.version != if_match):
            raise VersionMismatch(key)
        info = ObjectInfo(key, len(data), self._clock(), str(next(self._versions)))
        self._objects[key] = StoredObject(bytes(data), info)

    async def put_many(self, items: Sequence[tuple[str, bytes]]) -> None:
        """See the contract."""
        for key, data in items:
            await self.put(key, data)

    async def stat(self, key: str) -> ObjectInfo:
        """See the contract."""
        return (await self.get(key)).info

    async def delete(self, key: str, *, if_match: str | None = None, durable: bool = True) -> None:
        """See the contract."""
        check_key(key)
        there = self._objects.get(key)
        if if_match is not None and there is not None and there.info.version != if_match:
            raise VersionMismatch(key)
        self._objects.pop(key, None)

    async def delete_many(self, keys: Sequence[str], *, durable: bool = True) -> None:
        """See the contract."""
        for key in keys:
            await self.delete(key)

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        """See the contract."""
        check_prefix(prefix)
        keys = sorted(key for key in self._objects if key.startswith(prefix) and key > after)
        return Listing(tuple(keys[:limit]), len(keys) > limit)

    async def children(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        """See the contract."""
        check_prefix(prefix)
        names = sorted({key[len(prefix) :].partition("/")[0] for key in self._objects if key.startswith(prefix)})
        start = bisect.bisect_right(names, after) if after else 0
        return Listing(tuple(names[start : start + limit]), len(names) > start + limit)

    async def open_read(self, key: str, start: int = 0, length: int | None = None) -> ByteStream:
        """See the contract."""
        data = (await self.get(key)).data
        part = data[start:] if length is None else data[start : start + length]

        async def blocks() -> AsyncGenerator[bytes, None]:
            yield part

        return ByteStream(blocks(), len(part), len(data))

    async def copy(self, source: str, target: str) -> None:
        """See the contract."""
        await self.put(target, (await self.get(source)).data)

    async def create_upload(self, key: str) -> None:
        """See the contract."""
        check_key(key)
        if key in self._uploads:
            raise AlreadyExists(key)
        self._uploads[key] = _Session()

    async def stat_upload(self, key: str) -> ObjectInfo:
        """See the contract."""
        if key not in self._uploads:
            raise NotFound(key)
        return ObjectInfo(key, len(self._uploads[key].data), self._uploads[key].saved, "")

    @asynccontextmanager
    async def open_upload(self, key: str, target: str | None = None) -> AsyncIterator[Upload]:
        """See the contract."""
        if key not in self._uploads:
            raise NotFound(key)
        if key in self._held:
            raise UploadBusy(key)
        self._held.add(key)
        try:
            yield _Upload(self, key, self._uploads[key])
        finally:
            self._held.discard(key)

    @asynccontextmanager
    async def new_upload(self, target: str) -> AsyncIterator[Upload]:
        """See the contract."""
        check_key(target)
        yield _Upload(self, "", _Session())

    async def expire_uploads(self, prefix: str, older_than: float) -> int:
        """See the contract."""
        latest = time.time() - older_than
        old = [key for key, session in self._uploads.items() if key.startswith(prefix) and session.saved <= latest]
        for key in set(old) - self._held:
            self.forget(key)
        return len(set(old) - self._held)

    async def check(self) -> None:
        """See the contract."""

    def forget(self, key: str) -> None:
        """Drop an upload."""
        self._uploads.pop(key, None)
