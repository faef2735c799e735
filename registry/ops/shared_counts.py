"""Where worker processes add up what they count, so that whichever is asked answers for all.

Knows how prometheus_client is told of it: by a variable, which it reads when it is imported. Must not import it.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_MEMORY = "/dev/shm"  # noqa: S108  # a directory of our own in it, and writable where the rest is read-only


@contextmanager
def shared_counts() -> Iterator[None]:
    """While this lasts, processes that this one forks count together, even for those that have died. Raises `OSError`
    if there is no room for it.
    """
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="cargohold-counts-", dir=place, ignore_cleanup_errors=True) as directory:
        os.environ[DIRECTORY_VARIABLE] = directory
        try:
            yield
        finally:
            del os.environ[DIRECTORY_VARIABLE]
