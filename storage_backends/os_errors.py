"""The operating system's errors in the contract's words, with what an operator can do about them."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from storage_backends.errors import InvalidKey, NotFound, StorageError, StorageFull, Unavailable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
_MISPLACED = frozenset({errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG})
_REMEDIES = {
    errno.EROFS: "the filesystem is read-only; see the kernel's log, and mount it writable",
    errno.EACCES: "the server's user may not do that; give it the directory's ownership",
    errno.EPERM: "the server's user may not do that; give it the directory's ownership",
    errno.EIO: "the disk reports an error; see the kernel's log",
    errno.EMFILE: "the process has too many open files; raise its limit (ulimit -n)",
    errno.ENFILE: "the machine has too many open files",
    errno.EXDEV: "the storage's root spans two filesystems; docker/ and cargohold/ must lie on one",
}


def reading(error: OSError, key: str) -> StorageError:
    """The error of a read of `key`."""
    return NotFound(key) if error.errno in _ABSENT or error.errno == errno.EISDIR else _unavailable(error, key)


def writing(error: OSError, key: str) -> StorageError:
    """The error of a change at `key`."""
    if error.errno in _FULL:
        return StorageFull(
            f"no room is left on the storage ({os.strerror(error.errno or 0)}); free some, then try again"
        )
    if error.errno in _MISPLACED:
        return InvalidKey(f"{key!r} cannot be stored: a part of it names an object, or it names a prefix of others")
    return _unavailable(error, key)


@contextmanager
def as_writing(key: str) -> Iterator[None]:
    """Translate the errors of a change at `key`."""
    try:
        yield
    except OSError as error:
        raise writing(error, key) from error


def _unavailable(error: OSError, key: str) -> Unavailable:
    number = error.errno or 0
    remedy = _REMEDIES.get(number, "see the server's log")
    return Unavailable(f"the storage cannot serve {key!r}: {os.strerror(number)}; {remedy}")
