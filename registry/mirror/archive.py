"""The bytes of an archive: a file, or the parts that it was split into, read at any place. Knows nothing of tar.

Everything in an archive may be a lie; what is wrong with one is `ArchiveInvalid`, and names the file or the entry.
"""

import os
import re
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from registry.content.errors import ContentCorrupt

_FIRST_PART = ".001"
_PART = re.compile(r"\.[0-9]{3,}")


class ArchiveInvalid(ContentCorrupt):
    """The archive is damaged, cut off, not what it claims to be, or made to do harm."""


class RandomBytes(Protocol):
    """Bytes that can be read at any place; `size` of all of them."""

    size: int

    def pread(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; less only where the bytes end. *Blocking*; any thread. Raises `OSError`."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class Parts:
    """The files of one archive, read as if they were one."""

    def __init__(self, paths: Sequence[Path]) -> None:
        with ExitStack() as opened:
            self._fds = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in paths]
            for fd in self._fds:
                opened.callback(os.close, fd)
            self._starts = [0]
            for fd in self._fds:
                self._starts.append(self._starts[-1] + os.fstat(fd).st_size)
            self._close = opened.pop_all().close
        self.size = self._starts[-1]

    def pread(self, offset: int, length: int) -> bytes:
        """See `RandomBytes`."""
        blocks: list[bytes] = []
        end = min(offset + length, self.size)
        while offset < end:
            number = bisect_right(self._starts, offset) - 1
            wanted = min(end, self._starts[number + 1]) - offset
            block = os.pread(self._fds[number], wanted, offset - self._starts[number])
            if not block:
                raise ArchiveInvalid(f"the archive has become shorter while it was read, at byte {offset}")
            blocks.append(block)
            offset += len(block)
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def close(self) -> None:
        """See `RandomBytes`."""
        self._close()


def part_path(path: Path, number: int) -> Path:
    """Where part `number` (from 1) of the archive `path` lies."""
    return path.with_name(f"{path.name}.{number:03}")


def parts_of(path: Path) -> list[Path]:
    """The files that make up the archive called `path`: itself, or its parts (`path` may be the first of them).

    Raises `ArchiveInvalid` if it is not there, or a part is missing between others.
    """
    if path.name.endswith(_FIRST_PART) and path.exists():
        path = path.with_name(path.name.removesuffix(_FIRST_PART))
    elif path.exists():
        return [path]
    there = {each for each in path.parent.glob("*") if _is_part(path, each)} if path.parent.is_dir() else set()
    if not there:
        raise ArchiveInvalid(f"{path} is not there, nor is {part_path(path, 1).name}")
    parts = [part_path(path, number) for number in range(1, len(there) + 1)]
    for part in parts:
        if part not in there:
            raise ArchiveInvalid(f"{part} is missing: there are {len(there)} other parts of {path.name}")
    return parts


def _is_part(path: Path, other: Path) -> bool:
    return other.name.startswith(path.name) and _PART.fullmatch(other.name[len(path.name) :]) is not None
