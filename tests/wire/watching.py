"""Sees which files and directories somebody else opens, through the kernel (inotify). Knows paths only."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPENED = 0x20
_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """What was opened in the watched directories since."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def opened(self) -> list[str]:
        """Names of entries that were opened, or read as directories (``.``)."""
        names = []
        try:
            data = os.read(self._fd, 1 << 20)
        except BlockingIOError:
            return []
        while data:
            _, _, _, length = _EVENT.unpack_from(data)
            names.append(data[_EVENT.size : _EVENT.size + length].rstrip(b"\0").decode() or ".")
            data = data[_EVENT.size + length :]
        return names


@contextmanager
def watching(*directories: Path) -> Iterator[Watch]:
    """Watch these directories, not those below them."""
    fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    try:
        for directory in directories:
            if _libc.inotify_add_watch(fd, os.fsencode(directory), _OPENED) < 0:
                raise OSError(ctypes.get_errno(), f"inotify_add_watch {directory}")
        yield Watch(fd)
    finally:
        os.close(fd)
