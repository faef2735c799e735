"""Files that appear whole and durably, or not at all. Knows paths; not what is in the files."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from storage_backends import durable


@contextmanager
def whole_file(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file to write; when the block ends well it is `path`, in place of what was there. Raises `OSError`."""
    durable.make_directories(str(path.parent))
    temporary = str(path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}"))
    with os.fdopen(durable.create(temporary, mode), "wb") as file:
        try:
            yield file
            file.flush()
            durable.sync_file(file.fileno())
            durable.rename(temporary, str(path))
        except BaseException:
            durable.unlink(temporary)
            raise
    durable.sync_directory(str(path.parent))


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a whole file. *Blocking*. Raises `OSError`."""
    with whole_file(path, mode) as file:
        file.write(data)
