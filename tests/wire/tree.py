"""What lies on a registry's storage, to compare before with after. Reads a directory; knows what a registry does there
by itself, and nothing else of it.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from registry.content.keyspace import COLLECTOR, LAST_DONE, PULLS_SINCE, SCRATCH

_LARGE = 64 * 1024
_LOCKS = "cargohold/v1/tmp/locks"
"""They hold nothing, and stay."""
_PASSING_SECONDS = 20.0
"""How long what a server writes by itself may lie in its scratch, on a machine and a disk that do much else."""


def _is_a_chore(path: str) -> bool:
    """True if a server writes it by itself from time to time, and not because of what a client does just then."""
    return path in (PULLS_SINCE, COLLECTOR) or "/_pulls/" in path or path.startswith(LAST_DONE)


Known = dict[str, tuple[tuple[int, ...], bytes]]
"""The bytes of files that were read before, by their path, with what tells whether they are still the same."""


def snapshot(root: Path, known: Known | None = None) -> Mapping[str, bytes | tuple[int, int]]:
    """Every file below `root` by its path: the bytes of a small one, size and time of a large one.

    Lock files are left out, and what a server writes by itself, but not what of it lies in its scratch just then. With
    `known` a file that is still the one that was read before is not read again.
    """
    found: dict[str, bytes | tuple[int, int]] = {}
    known = {} if known is None else known
    beginning = len(str(root)) + 1
    for entry in _files(str(root)):
        relative = entry.path[beginning:]
        if relative.startswith(_LOCKS) or _is_a_chore(relative):
            continue
        with suppress(FileNotFoundError):
            found[relative] = _seen(entry, known)
    return found


def _files(directory: str) -> "Iterator[os.DirEntry[str]]":
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            else:
                yield entry


def _seen(entry: "os.DirEntry[str]", known: Known) -> bytes | tuple[int, int]:
    status = entry.stat()
    if status.st_size > _LARGE:
        return status.st_size, status.st_mtime_ns
    version = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    before = known.get(entry.path)
    if before is None or before[0] != version:
        before = known[entry.path] = (version, Path(entry.path).read_bytes())
    return before[1]


def _differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    gone = [path for path in before if path not in after and not path.startswith(SCRATCH)]
    return gone + [path for path in after if path not in before or after[path] != before[path]]


def directories(root: Path) -> set[str]:
    """Every directory below `root`."""
    return {Path(directory).relative_to(root).as_posix() for directory, _, _ in os.walk(root)}


@dataclass(frozen=True)
class Storage:
    """The storage of the registry under test; `root` is None where a test cannot look at it (a peer). What is `known`
    of it may be shared by all who look.
    """

    root: Path | None
    known: Known = field(default_factory=dict)

    @contextmanager
    def unchanged(self, *, but_for: str = "") -> Iterator[None]:
        """Fail if anything was made, changed or removed meanwhile, except below the prefix `but_for`.

        What a server writes by itself lies in its scratch for a moment: what was there may go, and what has come gets
        the time to go.
        """
        before = self._seen(but_for)
        yield
        deadline = time.monotonic() + _PASSING_SECONDS
        while different := _differences(before, self._seen(but_for)):
            passing = all(path.startswith(SCRATCH) for path in different) and time.monotonic() < deadline
            assert passing, f"made, changed or removed on the storage: {different}"
            time.sleep(0.02)  # between two looks at what another process does

    def files(self, prefix: str) -> set[str]:
        """The files whose path begins with `prefix`."""
        return {path for path in self._snapshot() if path.startswith(prefix)}

    def _seen(self, but_for: str) -> Mapping[str, object]:
        found = self._snapshot()
        return {path: seen for path, seen in found.items() if not but_for or not path.startswith(but_for)}

    def _snapshot(self) -> Mapping[str, bytes | tuple[int, int]]:
        return {} if self.root is None else snapshot(self.root, self.known)
