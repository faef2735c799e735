"""A storage whose calls stop where a test wants them to, so that two requests meet in a chosen order.

Knows the contract only; wraps any backend.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from storage_backends.base import Listing, ObjectInfo, StorageBackend, StoredObject, Upload
from storage_backends.sendable import Sendable


@dataclass(eq=False)
class Stop:
    """One place where the next call that fits stands still until `go_on` is set."""

    verb: str
    part: str
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)


class SteppingBackend(StorageBackend):
    """The wrapped backend, with stops before calls; every call is also written down as (verb, keys)."""

    def __init__(self, inner: StorageBackend) -> None:
        self._inner = inner
        self._stops: list[Stop] = []
        self.calls: list[tuple[str, tuple[str, ...]]] = []

    def stop_before(self, verb: str, part: str) -> Stop:
        """Stop the next call of `verb` one of whose keys contains `part`."""
        stop = Stop(verb, part)
        self._stops.append(stop)
        return stop

    async def _pass(self, verb: str, *keys: str) -> None:
        self.calls.append((verb, keys))
        for stop in self._stops:
            if stop.verb == verb and any(stop.part in key for key in keys):
                self._stops.remove(stop)
                stop.reached.set()
                await stop.go_on.wait()
                return

    async def get(self, key: str) -> StoredObject:
        """See the contract."""
        await self._pass("get", key)
        return await self._inner.get(key)

    async def put(
        self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None, durable: bool = True
    ) -> None:
        """See the contract."""
        await self._pass("put", key)
        await self._inner.put(key, data, if_absent=if_absent, if_match=if_match, durable=durable)

    async def put_many(self, items: Sequence[tuple[str, bytes]]) -> None:
        """See the contract."""
        await self._pass("put_many", *(key for key, _ in items))
        await self._inner.put_many(items)

    async def stat(self, key: str) -> ObjectInfo:
        """See the contract."""
        await self._pass("stat", key)
        return await self._inner.stat(key)

    async def delete(self, key: str, *, if_match: str | None = None, durable: bool = True) -> None:
        """See the contract."""
        await self._pass("delete", key)
        await self._inner.delete(key, if_match=if_match, durable=durable)

    async def delete_many(self, keys: Sequence[str], *, durable: bool = True) -> None:
        """See the contract."""
        await self._pass("delete_many", *keys)
        await self._inner.delete_many(keys, durable=durable)

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        """See the contract."""
        await self._pass("list", prefix)
        return await self._inner.list(prefix, after=after, limit=limit)

    async def children(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        """See the contract."""
        await self._pass("children", prefix)
        return await self._inner.children(prefix, after=after, limit=limit)

    async def open_read(self, key: str, start: int = 0, length: int | None = None) -> Sendable:
        """See the contract."""
        await self._pass("open_read", key)
        return await self._inner.open_read(key, start, length)

    async def copy(self, source: str, target: str) -> None:
        """See the contract."""
        await self._pass("copy", source, target)
        await self._inner.copy(source, target)

    async def create_upload(self, key: str) -> None:
        """See the contract."""
        await self._pass("create_upload", key)
        await self._inner.create_upload(key)

    async def stat_upload(self, key: str) -> ObjectInfo:
        """See the contract."""
        await self._pass("stat_upload", key)
        return await self._inner.stat_upload(key)

    def open_upload(self, key: str, target: str | None = None) -> AbstractAsyncContextManager[Upload]:
        """See the contract."""
        return self._inner.open_upload(key, target)

    def new_upload(self, target: str) -> AbstractAsyncContextManager[Upload]:
        """See the contract."""
        return self._inner.new_upload(target)

    async def expire_uploads(self, prefix: str, older_than: float) -> int:
        """See the contract."""
        return await self._inner.expire_uploads(prefix, older_than)

    async def check(self) -> None:
        """See the contract."""
        await self._inner.check()
