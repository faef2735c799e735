"""Where a bundle is written: files that get their names when all of it is there. And the tar that goes into them.

A bundle that is being made lies in `.<name>.<what it is made from>.partial` beside its place, or in parts of that name:
whoever is asked for the same bundle again goes on from there.
"""

import errno
import fcntl
import glob
import os
import re
import tarfile
from pathlib import Path

from registry.mirror.archive import part_path
from registry.mirror.seekable_zstd import Output
from storage_backends import durable

_WRITEBACK = 16 * 1024 * 1024
_END = bytes(1024)
_BLOCK = 512
_MOST_PARTS = 900
"""All of them are open at a time, here and when they are read."""
_REQUEST = re.compile(r"[0-9a-f]+\.partial(?:\.[0-9]+)?")


class BundleBusy(Exception):
    """Another process makes the same bundle now."""


class PartialFiles:
    """An `Output` into one file, or into parts of `part_size` bytes each. *Blocking*. Raises `OSError`."""

    def __init__(self, final: Path, request: str, part_size: int = 0) -> None:
        """`request` is what the bundle is made from, as a short hash. Raises `BundleBusy`."""
        self._final = final
        self._partial = final.with_name(f".{final.name}.{request}.partial")
        self._part_size = part_size
        self._fds: list[int] = [_open(self._path(self._partial, 1))]
        try:
            fcntl.flock(self._fds[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.path.samestat(os.fstat(self._fds[0]), os.stat(self._path(self._partial, 1)))
        except (BlockingIOError, FileNotFoundError) as error:
            raise BundleBusy(f"another process makes {final} now") from error
        if not is_ours:  # it has got its name since we opened it
            raise BundleBusy(f"another process has just made {final}")
        while part_size and self._path(self._partial, len(self._fds) + 1).exists():
            self._fds.append(_open(self._path(self._partial, len(self._fds) + 1)))
        self._size = sum(os.fstat(fd).st_size for fd in self._fds)
        self._dirty = 0
        self.finished: tuple[Path, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """The files as they are called now."""
        return [self._path(self._partial, number) for number in range(1, len(self._fds) + 1)]

    def write(self, data: bytes | memoryview) -> None:
        """See `Output`."""
        rest = memoryview(data)
        while rest:
            number, offset = divmod(self._size, self._part_size) if self._part_size else (0, self._size)
            if number == _MOST_PARTS:
                raise OSError(errno.EFBIG, f"more than {_MOST_PARTS} parts; choose larger ones", str(self._final))
            if number == len(self._fds):
                self._fds.append(_open(self._path(self._partial, number + 1)))
            room = self._part_size - offset if self._part_size else len(rest)
            try:
                done = durable.write(self._fds[number], rest[:room], offset)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self._final)) from error
            rest = rest[done:]
            self._size += done
            self._dirty += done
            if self._dirty >= _WRITEBACK:
                durable.start_writeback(self._fds[number], max(0, offset + done - self._dirty), self._dirty)
                self._dirty = 0

    def tell(self) -> int:
        """See `Output`."""
        return self._size

    def truncate(self, size: int) -> None:
        """See `Output`."""
        keep, rest = divmod(size, self._part_size) if self._part_size else (0, size)
        for number in range(len(self._fds), max(keep + 1, 1), -1):
            os.close(self._fds.pop())
            durable.unlink(str(self._path(self._partial, number)))
        if keep < len(self._fds):
            os.ftruncate(self._fds[keep], rest)
        self._size = size
        self._dirty = 0

    def finish(self) -> None:
        """See `Output`: the files get their names, the first part last. Durable on return; `finished` has the names.

        An earlier bundle of this name goes, with all its parts: its beginning first, so that no two ever look like one.
        """
        self.finished = tuple(self._path(self._final, number) for number in range(1, len(self._fds) + 1))
        try:
            for fd in self._fds:
                durable.sync_file(fd)
        except OSError:
            self.truncate(0)  # which bytes are lost nobody knows, and the next sync would succeed
            raise
        if self._part_size:
            for path in (self._final, part_path(self._final, 1)):
                if path.exists():
                    durable.unlink(str(path))
        for number in range(len(self._fds), 0, -1):
            durable.rename(str(self._path(self._partial, number)), str(self._path(self._final, number)))
        number = len(self._fds) + 1 if self._part_size else 1
        while (left := part_path(self._final, number)).exists():
            durable.unlink(str(left))
            number += 1
        durable.sync_directory(str(self._final.parent))

    def close(self) -> None:
        """Let go of the files; what is not finished stays, to be gone on with."""
        while self._fds:
            os.close(self._fds.pop())

    def forget_others(self) -> None:
        """Remove what was begun for other requests and is written by nobody now."""
        ours = {path.name for path in self.paths}
        others = self._final.parent.glob(f".{glob.escape(self._final.name)}.*.partial*")
        for path in sorted(others, reverse=True):
            first = path.with_name(re.sub(r"\.partial\.[0-9]+$", ".partial.001", path.name))
            if path.name not in ours and _REQUEST.fullmatch(path.name[len(self._final.name) + 2 :]) and _is_free(first):
                durable.unlink(str(path))

    def discard(self) -> None:
        """Remove all files."""
        for path in self.paths:
            durable.unlink(str(path))
        self.close()

    def _path(self, path: Path, number: int) -> Path:
        return part_path(path, number) if self._part_size else path


class TarOutput:
    """Writes a tar. *Blocking*. Two with the same files are the same bytes: no owner, no time."""

    def __init__(self, output: Output) -> None:
        self.output = output

    def begin(self, name: str, size: int) -> None:
        """Begin a file of `size` bytes, all of which must be written then."""
        entry = tarfile.TarInfo(name)
        entry.size = size
        self.output.write(entry.tobuf(tarfile.PAX_FORMAT))

    def end(self, size: int) -> None:
        """End the file of `size` bytes that was begun."""
        self.output.write(bytes(-size % _BLOCK))

    def add(self, name: str, data: bytes) -> None:
        """A whole file."""
        self.begin(name, len(data))
        self.output.write(data)
        self.end(len(data))

    def finish(self) -> None:
        """The end of the archive, and of the output."""
        self.output.write(_END)
        self.output.finish()


def _is_free(path: Path) -> bool:
    """True if nobody writes the bundle whose first file this is."""
    if not path.exists():
        return True
    fd = _open(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
