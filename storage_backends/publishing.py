"""How small objects and finished uploads get their place on disk: whole, in order, and durable when the call returns.

Blocking; knows keys and paths. The steps are always: write under temporary names, sync the files, rename in the given
order, sync the directories. Whoever is killed in between leaves temporary files, and of the renames a beginning.
"""

import fcntl
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from storage_backends import durable
from storage_backends.errors import AlreadyExists, NotFound, Unavailable, VersionMismatch
from storage_backends.os_errors import as_writing
from storage_backends.settled_cache import signature

_ATTEMPTS = 100


def version_of(status: os.stat_result) -> str:
    """The version tag of an object: another one whenever a file is renamed over it."""
    return "-".join(f"{part:x}" for part in signature(status)[1:])


class Publisher:
    """Writes below `root`, with temporary files and locks in the directory `scratch`.

    What lies below the prefix `private` (of keys) can be read by this user alone. Without `synced` nothing is
    synced: what was written survives the process, not a power cut.
    """

    def __init__(self, root: str, scratch: str, private: str = "", *, synced: bool = True) -> None:
        self.root = root
        self._synced = synced
        self._private = private
        self._scratch = scratch
        self._locks = f"{scratch}/locks"
        self._ordered = durable.metadata_is_ordered(root)

    def path(self, key: str) -> str:
        """Where a key lies."""
        return f"{self.root}/{key}"

    def put_all(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Place several objects; they become visible in order."""
        with self._written(items) as names:
            self._place([(name, key) for name, (key, _) in zip(names, items, strict=True)])

    def prepare(self, sync: Callable[[], None], key: str, first: Sequence[tuple[str, bytes]]) -> None:
        """`sync` a finished file that is to become `key`, and let the small objects `first` appear, not synced yet."""
        with as_writing(key), self._written(first) as names:
            sync()
            self._move([(name, place) for name, (place, _) in zip(names, first, strict=True)])

    def commit(self, path: str, key: str, prepared: Sequence[str]) -> None:
        """Place a finished file at `key`, after the objects `prepared`; all of them are durable then."""
        self._move([(path, key)])
        self._sync([*prepared, key])

    def put_if_absent(self, key: str, data: bytes) -> None:
        """Place an object where none is; of several processes one succeeds. Raises `AlreadyExists`."""
        with self._written([(key, data)]) as [name], as_writing(key):
            try:
                with self._lock(key, fcntl.LOCK_SH):
                    self._into_place(durable.link, name, key)
            except FileExistsError as error:
                raise AlreadyExists(key) from error
            self._sync([key])

    def put_if_match(self, key: str, data: bytes, version: str) -> None:
        """Replace the object of that version. Raises `VersionMismatch`."""
        with self._written([(key, data)]) as [name], as_writing(key):
            with self._lock(key, fcntl.LOCK_EX):
                try:
                    found = version_of(os.stat(self.path(key)))
                except (FileNotFoundError, NotADirectoryError) as error:
                    raise VersionMismatch(f"{key} is not there") from error
                if found != version:
                    raise VersionMismatch(key)
                self._into_place(durable.rename, name, key)
            self._sync([key])

    def delete_all(self, keys: Sequence[str]) -> None:
        """Remove objects in order, and the directories that become empty."""
        changed: list[str] = []
        for key in keys:
            with as_writing(key), self._lock(key, fcntl.LOCK_SH):
                try:
                    durable.unlink(self.path(key))
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except IsADirectoryError:
                    continue  # a prefix, not an object
                changed.append(self._prune(os.path.dirname(self.path(key))))
        with as_writing(keys[-1] if keys else ""):
            self._sync_changes(changed)

    def delete_if_match(self, key: str, version: str) -> None:
        """Remove the object of that version, if one is there. Raises `VersionMismatch`."""
        with as_writing(key):
            with self._lock(key, fcntl.LOCK_EX):
                try:
                    found = version_of(os.stat(self.path(key)))
                except (FileNotFoundError, NotADirectoryError):
                    return
                if found != version:
                    raise VersionMismatch(key)
                durable.unlink(self.path(key))
                changed = self._prune(os.path.dirname(self.path(key)))
            self._sync_changes([changed])

    def remove_empty(self, directory: str) -> None:
        """Remove the empty directories in a directory, itself, and those above it that become empty.

        Nothing is synced: nobody misses them.
        """
        for path, _, _ in os.walk(directory, topdown=False):
            self._prune(path)

    def copy(self, source: str, target: str) -> None:
        """Place the bytes of one object under another key as well."""
        with as_writing(target):
            name = self._temporary()
            fd = durable.create(name)
            try:
                self._copy_bytes(source, fd)
                durable.sync_file(fd)
                self._place([(name, target)])
            finally:
                os.close(fd)
                discard(name)

    def create_temporary(self) -> str:
        """Make an empty temporary file; return its path."""
        with as_writing("a temporary file"):
            path = self._temporary()
            os.close(durable.create(path))
        return path

    def create_empty(self, key: str) -> None:
        """Make an empty file at `key`; not synced. Raises `AlreadyExists`."""
        with as_writing(key):
            try:
                self._into_place(lambda _, path: os.close(durable.create(path)), "", key)
            except FileExistsError as error:
                raise AlreadyExists(key) from error

    def _copy_bytes(self, source: str, fd: int) -> None:
        try:
            origin = os.open(self.path(source), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise NotFound(source) from error
        try:
            while os.copy_file_range(origin, fd, 1 << 30):
                pass
        finally:
            os.close(origin)

    @contextmanager
    def _written(self, items: Sequence[tuple[str, bytes]]) -> Iterator[list[str]]:
        """Temporary files with what shall lie at these keys, on the disk; removed if they are not renamed."""
        names: list[str] = []
        try:
            with as_writing("a temporary file"):
                for key, data in items:
                    names.append(self._temporary())
                    self._write(names[-1], data, private=bool(self._private) and key.startswith(self._private))
            yield names
        finally:
            for name in names:
                discard(name)

    def _write(self, name: str, data: bytes, *, private: bool) -> None:
        fd = durable.create(name, 0o600 if private else 0o666)
        try:
            block, offset = memoryview(data), 0
            while offset < len(data):
                offset += durable.write(fd, block[offset:], offset)
            if self._synced:
                durable.sync_file(fd)
        finally:
            os.close(fd)

    def _place(self, moves: Sequence[tuple[str, str]]) -> None:
        self._move(moves)
        self._sync([key for _, key in moves])

    def _move(self, moves: Sequence[tuple[str, str]]) -> None:
        for name, key in moves:
            with as_writing(key), self._lock(key, fcntl.LOCK_SH):
                self._into_place(durable.rename, name, key)

    def _into_place(self, act: Callable[[str, str], None], name: str, key: str) -> None:
        """Do `act(name, path of key)`, with its directory there.

        A deletion may remove the empty directory between our making and our using it. Each such round is another's
        progress, so the bound only guards against a directory that cannot be kept for another reason.
        """
        path = self.path(key)
        for _ in range(_ATTEMPTS):
            try:
                act(name, path)
            except FileNotFoundError:
                with suppress(FileNotFoundError):
                    durable.make_directories(os.path.dirname(path))
            else:
                return
        raise Unavailable(f"the directory of {key!r} vanishes as often as it is made")

    def _sync(self, keys: Sequence[str]) -> None:
        with as_writing(", ".join(keys)):
            self._sync_changes([os.path.dirname(self.path(key)) for key in keys])

    def _sync_changes(self, changed: Sequence[str]) -> None:
        if self._synced:
            durable.sync_changes(changed, self.root, ordered=self._ordered)

    def _prune(self, directory: str) -> str:
        """Remove a directory and those above it, as far as they are empty; return the one that stays."""
        while directory != self.root:
            try:
                durable.remove_directory(directory)
            except FileNotFoundError:
                pass  # another deletion was faster
            except OSError:
                break
            directory = os.path.dirname(directory)
        return directory

    def _temporary(self) -> str:
        return f"{self._scratch}/{os.getpid()}-{uuid.uuid4().hex}"

    @contextmanager
    def _lock(self, key: str, kind: int) -> Iterator[None]:
        """Keep conditional writers (exclusive) from everybody else (shared) at one key, in all processes.

        Without it a plain write could slip in between a conditional writer's look and its rename.
        """
        stripe = hashlib.blake2b(key.encode(), digest_size=1).hexdigest()
        fd = os.open(f"{self._locks}/{stripe}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, kind)
            yield
        finally:
            os.close(fd)


def discard(name: str) -> None:
    """Remove a temporary file that was not renamed. Where that is impossible (a disk that has just become read-only) it
    stays; the error that counts is the one that brought us here.
    """
    with suppress(OSError):
        durable.unlink(name)
