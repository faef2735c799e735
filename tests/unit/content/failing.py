"""A storage in memory whose uploads fail where a test wants them to."""

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

from storage_backends.base import Upload
from storage_backends.memory import MemoryBackend


class _Upload(Upload):
    """An upload that takes `room` more bytes, in part of a block if need be, and then raises."""

    def __init__(self, inner: Upload, backend: "FailingBackend") -> None:
        self._inner = inner
        self._backend = backend

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

    def truncate(self, size: int) -> None:
        """See the contract."""
        self._backend.truncating.set()
        self._backend.may_truncate.wait(10)
        self._inner.truncate(size)

    def read_blocks(self, end: int) -> Iterator[memoryview]:
        """See the contract."""
        return self._inner.read_blocks(end)

    async def commit(self, key: str, also: Sequence[tuple[str, bytes]] = ()) -> None:
        """See the contract."""
        if self._backend.commit_error is not None:
            raise self._backend.commit_error
        await self._inner.commit(key, also)

    async def abort(self) -> None:
        """See the contract."""
        await self._inner.abort()


class FailingBackend(MemoryBackend):
    """Set `write_error` and `room` (bytes), or `commit_error`; None to work again. Clear `may_truncate` to hold it."""

    def __init__(self) -> None:
        super().__init__()
        self.write_error: Exception | None = None
        self.commit_error: Exception | None = None
        self.room = 0
        self.truncating = threading.Event()
        self.may_truncate = threading.Event()
        self.may_truncate.set()

    @asynccontextmanager
    async def open_upload(self, key: str) -> AsyncIterator[Upload]:
        """See the contract."""
        async with super().open_upload(key) as upload:
            yield _Upload(upload, self)
