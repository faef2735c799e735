"""Something happens at the N-th step that changes the disk. Wraps `storage_backends.durable`, which makes all steps."""

import errno
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from storage_backends import durable

STEPS = (
    "create",
    "write",
    "sync_file",
    "sync_directory",
    "rename",
    "link",
    "unlink",
    "make_directory",
    "remove_directory",
)
Fault = Callable[[str], None]


def kill(_: str) -> None:
    """The process is gone, without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail_with(number: int) -> Fault:
    """The system call fails."""

    def fail(_: str) -> None:
        raise OSError(number, os.strerror(number))

    return fail


FAILURES = (errno.EIO, errno.ENOSPC, errno.EROFS)


class Steps:
    """Counts steps; the one numbered `at`, from 1, meets the fault instead; `met` says whether there was one."""

    def __init__(self, at: int, fault: Fault) -> None:
        self._at = at
        self._fault = fault
        self._count = 0
        self.met = False
        self._lock = threading.Lock()

    def wrap(self, replace: Callable[[object, str, object], None]) -> None:
        """Put the count around every step; `replace` is `setattr`, or a monkeypatch's."""
        for name in STEPS:
            replace(durable, name, self._counted(name, getattr(durable, name)))

    def _counted(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            with self._lock:
                self._count += 1
                due = self._count == self._at
            if due:
                self.met = True
                self._fault(name)
            return step(*arguments)

        return counted
