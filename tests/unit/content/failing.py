"""A storage in memory whose uploads fail where a test wants them to."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

from storage_backends.base import Ready, Upload
from storage_backends.memory import MemoryBackend
from storage_backends.waiting import to_its_end


class _Upload(Upload):
    """An upload that takes `room` more bytes, in part of a block if need be, and then raises."""

    def __init__(self, inner: Upload, backend: "FailingBackend") -> None:
        self._inner = inner
        self._backend = backend
        self.note = inner.note

    @property
    def size(self) -> int:  # type: ignore[override]
        """See the contract."""
        return self._inner.size

    def write(self, block: memoryview) -> None:
        """See the contract."""
        error = self._backend.write_error
        if error is None or len(block) <= self._backend.room:
            self._backend.room -= len(block)
            self._inner.write(block)
            return
        room, self._backend.room = self._backend.room, 0
        self._inner.write(block[:room])
        raise error

    async def save(self, note: str = "") -> None:
        """See the contract."""
        await self._inner.save(note)

    async def rewind(self) -> None:
        """See the contract."""
        await to_its_end(asyncio.to_thread(self._wait))
        await self._inner.rewind()

    def _wait(self) -> None:
        self._backend.rewinding.set()
        self._backend.may_rewind.wait(10)

    def read_blocks(self) -> Iterator[memoryview]:
        """See the contract."""
        return self._inner.read_blocks()

    async def commit(self, key: str, first: Sequence[tuple[str, bytes]] = (), ready: Ready | None = None) -> None:
        """See the contract."""
        if self._backend.commit_error is not None:
            raise self._backend.commit_error
        await self._inner.commit(key, first, ready)

    async def abort(self) -> None:
        """See the contract."""
        await self._inner.abort()


class FailingBackend(MemoryBackend):
    """Set `write_error` and `room` (bytes), or `commit_error`; None to work again. Clear `may_rewind` to hold it."""

    def __init__(self) -> None:
        super().__init__()
        self.write_error: Exception | None = None
        self.commit_error: Exception | None = None
        self.room = 0
        self.rewinding = threading.Event()
        self.may_rewind = threading.Event()
        self.may_rewind.set()

    @asynccontextmanager
    async def open_upload(self, key: str, target: str | None = None) -> AsyncIterator[Upload]:
        """See the contract."""
        async with super().open_upload(key, target) as upload:
            yield _Upload(upload, self)

    @asynccontextmanager
    async def new_upload(self, target: str) -> AsyncIterator[Upload]:
        """See the contract."""
        async with super().new_upload(target) as upload:
            yield _Upload(upload, self)
