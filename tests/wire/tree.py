"""What lies on a registry's storage, to compare before with after. Reads a directory; knows what a registry does there
by itself, and nothing else of it.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from registry.content.keyspace import COLLECTOR, LAST_DONE, PULLS_SINCE, SCRATCH

_LARGE = 64 * 1024
_LOCKS = "cargohold/v1/tmp/locks"
"""They hold nothing, and stay."""


def _is_a_chore(path: str) -> bool:
    """True if a server writes it by itself from time to time, and not because of what a client does just then."""
    return path in (PULLS_SINCE, COLLECTOR) or "/_pulls/" in path or path.startswith(LAST_DONE)


def snapshot(root: Path) -> Mapping[str, bytes | tuple[int, int]]:
    """Every file below `root` by its path: the bytes of a small one, size and time of a large one.

    Lock files are left out, and what a server writes by itself, which lies in its scratch for a moment before.
    """
    found: dict[str, bytes | tuple[int, int]] = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            relative = path.relative_to(root).as_posix()
            if relative.startswith(_LOCKS) or _is_a_chore(relative):
                continue
            with suppress(FileNotFoundError):
                status = path.stat()
                large = status.st_size > _LARGE
                found[relative] = (status.st_size, status.st_mtime_ns) if large else path.read_bytes()
    passing = [path for path in found if path.startswith(SCRATCH) and not (root / path).exists()]
    return {path: seen for path, seen in found.items() if path not in passing}


def directories(root: Path) -> set[str]:
    """Every directory below `root`."""
    return {Path(directory).relative_to(root).as_posix() for directory, _, _ in os.walk(root)}


@dataclass(frozen=True)
class Storage:
    """The storage of the registry under test; `root` is None where a test cannot look at it (a peer)."""

    root: Path | None

    @contextmanager
    def unchanged(self, *, but_for: str = "") -> Iterator[None]:
        """Fail if anything was made, changed or removed meanwhile, except below the prefix `but_for`."""
        before = self._seen(but_for)
        yield
        assert self._seen(but_for) == before, "something was left behind on the storage"

    def files(self, prefix: str) -> set[str]:
        """The files whose path begins with `prefix`."""
        return set() if self.root is None else {path for path in snapshot(self.root) if path.startswith(prefix)}

    def _seen(self, but_for: str) -> Mapping[str, object]:
        if self.root is None:
            return {}
        return {path: seen for path, seen in snapshot(self.root).items() if not but_for or not path.startswith(but_for)}
