"""Something happens at the N-th step that changes the disk. Wraps `storage_backends.durable`, which makes all steps."""

import asyncio
import errno
import os
import shutil
import signal
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
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
Work = Callable[[Path], Coroutine[None, None, None]]
"""Something done with the storage in a directory."""


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


def kill_at_every_step(root: Path, before: Sequence[Work], work: Work, after: Sequence[Work], end: int) -> int:
    """Do what comes `before`; then kill `work` at each of its steps in turn, on a copy each time, and do what comes
    `after`. How many steps it has, which must be fewer than `end` - 1.
    """
    (root / "before").mkdir()
    asyncio.run(_do(root / "before", before))
    for step in range(1, end):
        place = root / str(step)
        shutil.copytree(root / "before", place)
        killed = _is_killed(work, place, step)
        asyncio.run(_do(place, after))
        if not killed:
            return step - 1
    raise AssertionError("it never comes to its end")


async def _do(root: Path, works: Sequence[Work]) -> None:
    for work in works:
        await work(root)


def _is_killed(work: Work, root: Path, step: int) -> bool:
    """Do it in a process of its own that is killed at its step of that number; false if it has not so many."""
    pid = os.fork()
    if pid == 0:
        try:
            Steps(step, kill).wrap(setattr)
            asyncio.run(work(root))
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0
