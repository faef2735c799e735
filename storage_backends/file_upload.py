"""An upload as a file: its bytes lie under its own key until `commit` renames them. Blocking; holds the file's lock.

The lock is `flock` on the file itself: it excludes writers in every process, and the kernel drops it when its holder
dies.
"""

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from storage_backends import durable
from storage_backends.base import Ready, Upload
from storage_backends.errors import NotFound, UploadBusy
from storage_backends.os_errors import as_writing, reading
from storage_backends.waiting import to_its_end

_BLOCK = 1024 * 1024
_WINDOW = 8 * 1024 * 1024
_KEPT = 32 * 1024 * 1024
"""So much of an upload stays in the page cache for the pulls that follow a push. What is behind is dropped as it is
written: a large layer then neither drives everything else out of memory nor pays for pages that are new to it."""

Publish = Callable[["FileUpload", str, Sequence[tuple[str, bytes]], Ready | None], Awaitable[None]]


class FileUpload(Upload):
    """A locked upload file. `publish` is the backend's way to make it an object."""

    def __init__(self, fd: int, path: str, key: str, publish: Publish) -> None:
        self.fd = fd
        self.path = path
        self.size = self._saved = os.fstat(fd).st_size
        self.note = ""
        self._key = key
        self._publish = publish
        self._flushing = self.size

    def write(self, block: memoryview) -> None:
        """Append a block; on an error `size` counts what reached the file."""
        with as_writing(self._key):
            while len(block):
                written = durable.write(self.fd, block, self.size)
                self.size += written
                block = block[written:]
            while self.size - self._flushing >= _WINDOW:
                self._flush_window()

    def _flush_window(self) -> None:
        """Let the kernel begin with the last window, so that the final sync is short, and end with the one before."""
        durable.start_writeback(self.fd, self._flushing, _WINDOW)
        if self._flushing > _KEPT:
            with self._forgotten_if_refused():
                durable.drop_written(self.fd, self._flushing - _WINDOW, _WINDOW)
        self._flushing += _WINDOW

    def sync(self) -> None:
        """Return when all bytes are on the disk. *Blocking*."""
        with self._forgotten_if_refused():
            durable.sync_file(self.fd)

    @contextmanager
    def _forgotten_if_refused(self) -> Iterator[None]:
        """Remove the file if the disk refuses its bytes: which ones are lost nobody knows, and the next sync would
        succeed, for the kernel says it once.
        """
        try:
            yield
        except OSError:
            with suppress(OSError):
                durable.unlink(self.path)
            raise

    async def save(self, note: str = "") -> None:
        """What is written lies in the file already; notes are not kept."""
        self._saved = self.size

    async def rewind(self) -> None:
        """Cut the file back, unless it is an object by now."""
        await to_its_end(asyncio.to_thread(self._truncate))

    def _truncate(self) -> None:
        with as_writing(self._key):
            if _is_named(self.fd, self.path):  # else it is an object: a commit failed behind its last step
                os.ftruncate(self.fd, self._saved)
        self.size = self._saved
        self._flushing = min(self._flushing, self.size)

    def read_blocks(self) -> Iterator[memoryview]:
        """All bytes, block by block, in one buffer."""
        buffer = memoryview(bytearray(_BLOCK))
        offset = 0
        while offset < self.size:
            count = os.preadv(self.fd, [buffer[: self.size - offset]], offset)
            if count == 0:
                raise NotFound(f"{self._key} is shorter than {self.size} bytes")
            yield buffer[:count]
            offset += count

    async def commit(self, key: str, first: Sequence[tuple[str, bytes]] = (), ready: Ready | None = None) -> None:
        """Make it an object; see the contract."""
        await self._publish(self, key, first, ready)

    async def abort(self) -> None:
        """Remove the file. Not synced: an upload that a power cut brings back is only an abandoned one."""
        with as_writing(self._key):
            durable.unlink(self.path)


def open_locked(path: str, key: str, publish: Publish) -> FileUpload:
    """Open and lock the upload at `path`. Raises `NotFound`, `UploadBusy`."""
    return FileUpload(_lock(path, key), path, key, publish)


def remove_if_left(path: str, latest: float) -> bool:
    """Remove a file that nobody holds and that nobody has written to since `latest`; true if that was so.

    What somebody may go on with is not held for a moment: it would be busy then.
    """
    try:
        if _written(path) > latest:
            return False
        fd = _lock(path, path)
    except (NotFound, UploadBusy):
        return False
    try:
        with as_writing(path):
            if os.fstat(fd).st_mtime > latest:
                return False
            durable.unlink(path)
            return True
    finally:
        os.close(fd)


def _lock(path: str, key: str) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise reading(error, key) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _check_still_there(fd, path, key)
    except BlockingIOError as error:
        os.close(fd)
        raise UploadBusy(key) from error
    except OSError as error:
        os.close(fd)
        raise reading(error, key) from error
    except BaseException:
        os.close(fd)
        raise
    return fd


def _written(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError as error:
        raise reading(error, path) from error


def _check_still_there(fd: int, path: str, key: str) -> None:
    """Between open and lock another holder may have committed or aborted it."""
    if not _is_named(fd, path):
        raise NotFound(key)


def _is_named(fd: int, path: str) -> bool:
    """True if the path still names the file: it was not committed, or aborted."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
