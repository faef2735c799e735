"""What was read from the disk, for as long as the disk says that it has not changed. Reads nothing itself.

A file or directory is known by its signature: device, inode, size, and both times. Whoever asks has just taken the
signature, so nothing is believed unchecked. Files are never changed in place, another one is renamed over them, and
that one differs in its signature, with one exception: within one tick of the filesystem's clock an inode can be freed
and used again for a file of the same size (or a directory changed twice). So only what had been left alone for
`_SETTLED_SECONDS` when it was read is kept, as git does with its index: a later change then has a later time.
"""

import os
import threading
import time
from collections import OrderedDict
from typing import Generic, TypeVar

Signature = tuple[int, int, int, int, int]
T = TypeVar("T")
_SETTLED_SECONDS = 2.0


def signature(status: os.stat_result) -> Signature:
    """What changes whenever a file or directory does."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class SettledCache(Generic[T]):
    """Values by path, the most recently used ones, of a total weight of at most `capacity`."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._weight = 0
        self._entries: OrderedDict[str, tuple[Signature, T, int]] = OrderedDict()
        self._lock = threading.Lock()

    def lookup(self, path: str, now: Signature) -> T | None:
        """What was read from `path` when it had the signature that it has now."""
        entry = self._entries.get(path)
        if entry is None or entry[0] != now:
            return None
        return entry[1]

    def keep(self, path: str, status: os.stat_result, value: T, weight: int) -> None:
        """Remember what was read from `path`, whose status was taken before reading. Ignored if it changed of late."""
        if time.time() - max(status.st_mtime, status.st_ctime) < _SETTLED_SECONDS or weight > self._capacity:
            return
        with self._lock:
            old = self._entries.pop(path, None)
            self._entries[path] = (signature(status), value, weight)
            self._weight += weight - (old[2] if old else 0)
            while self._weight > self._capacity:
                self._weight -= self._entries.popitem(last=False)[1][2]
