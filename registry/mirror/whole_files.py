"""Files that appear whole and durably, or not at all. Knows paths; not what is in the files."""

import os
import secrets
from pathlib import Path

from storage_backends import durable


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Make a file of these bytes, in place of what was there. *Blocking*. Raises `OSError`."""
    durable.make_directories(str(path.parent))
    temporary = str(path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}"))
    with os.fdopen(durable.create(temporary, mode), "wb") as file:
        try:
            file.write(data)
            file.flush()
            durable.sync_file(file.fileno())
            durable.rename(temporary, str(path))
        except BaseException:
            durable.unlink(temporary)
            raise
    durable.sync_directory(str(path.parent))
