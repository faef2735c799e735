"""Where worker processes add up what they count, so that whichever is asked answers for all.

Knows how prometheus_client is told of it: by a variable, which it reads when it is imported. Must not import it.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_MEMORY = "/dev/shm"  # noqa: S108  # a directory of our own in it, and writable where the rest is read-only
_PREFIX = "cargohold-counts-"
_YOUNG_SECONDS = 60.0
"""Its maker may not have locked it yet."""


@contextmanager
def shared_counts() -> Iterator[None]:
    """While this lasts, processes that this one forks count together, even for those that have died. Raises `OSError`
    if there is no room for it.
    """
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else tempfile.gettempdir()
    _remove_left(Path(place))
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=place, ignore_cleanup_errors=True) as directory:
        held = _open(Path(directory))
        fcntl.flock(held, fcntl.LOCK_EX)
        os.environ[DIRECTORY_VARIABLE] = directory
        try:
            yield
        finally:
            del os.environ[DIRECTORY_VARIABLE]
            os.close(held)


def _remove_left(place: Path) -> None:
    """Remove what servers that were killed have left. The lock of one that lives is held by all its processes."""
    for directory in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another user's, or locked, or gone already
            found = _open(directory)
            try:
                if time.time() - os.fstat(found).st_mtime > _YOUNG_SECONDS:
                    fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(directory)
            finally:
                os.close(found)


def _open(directory: Path) -> int:
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
