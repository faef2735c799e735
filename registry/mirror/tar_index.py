"""Where the files of a tar lie. Strict: whatever a bundle has no use for is refused by name, and nothing is unpacked.

Knows ustar, pax and GNU long names. Sources: POSIX.1-2017 `pax`, "ustar Interchange Format" and "pax Extended Header";
GNU tar's manual, "Basic Tar Format".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from registry.mirror.archive import ArchiveInvalid, RandomBytes

BLOCK = 512
MOST_ENTRIES = 500_000
_MAGICS = (b"ustar\x0000", b"ustar  \x00")
_LARGEST_HEADER = 64 * 1024
_LONGEST_NAME = 1024
"""Bytes; the longest name that a layout has a use for is that of a blob, with 141."""
_REGULAR = (b"0", b"\0", b"7")
_DIRECTORY, _PAX, _PAX_FOR_ALL, _LONG_NAME = b"5", b"x", b"g", b"L"
_EXTENDED = (_PAX, _PAX_FOR_ALL, _LONG_NAME)
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a pipe",
    b"K": "a link",
    b"S": "a sparse file",
}
_RECORD = re.compile(rb"([0-9]{1,8}) ([^=\n]{1,256})=")


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file of the tar: `size` bytes at `offset`; `header` is where its first header begins."""

    name: str
    header: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Where the next header begins."""
        return self.offset + _padded(self.size)


def entries(data: RandomBytes) -> Iterator[Entry]:
    """All regular files, in their order; directories are passed over. *Blocking*.

    Raises `ArchiveInvalid` at the first thing that is wrong, when all before it has been given. Ends only at the mark
    that ends a tar.
    """
    place, last, count = 0, "", 0
    while (head := data.pread(place, BLOCK)) != bytes(BLOCK):
        header = place
        kind, size = _read_header(head, last, place)
        extended: dict[str, str] = {}
        while kind in _EXTENDED:
            extended |= _extended(kind, _small(data, place + BLOCK, size, last), last)
            place += BLOCK + _padded(size)
            head = data.pread(place, BLOCK)
            kind, size = _read_header(head, last, place)
            count = _counted(count, last)
        count = _counted(count, last)
        name, size = _name(head, extended, last), _size(extended, size, last)
        if kind not in _REGULAR and kind != _DIRECTORY:
            raise ArchiveInvalid(f"{name!r} in the archive is {_KINDS.get(kind, 'no regular file')}; it is refused")
        entry = Entry(name, header, place + BLOCK, size)
        if kind in _REGULAR:
            if entry.offset + size > data.size:
                there = data.size - entry.offset
                raise ArchiveInvalid(
                    f"the archive is cut off: {name!r} has {size} bytes, and {there} of them are there"
                )
            yield entry
        elif size:
            raise ArchiveInvalid(f"the directory {name!r} in the archive has a content")
        place, last = entry.end, name


def _counted(count: int, last: str) -> int:
    if count == MOST_ENTRIES:
        raise ArchiveInvalid(f"the archive has more than {MOST_ENTRIES} entries; the last one read is {_shown(last)}")
    return count + 1


def _extended(kind: bytes, body: bytes, last: str) -> dict[str, str]:
    """What an extended header says of the file that follows."""
    if kind == _LONG_NAME:
        return {"path": _text(body.rstrip(b"\0"), last)}
    records = _records(body, last)
    if kind == _PAX:
        return records
    if records:
        raise ArchiveInvalid(f"the archive has a global header that names files, after {_shown(last)}")
    return {}


def _read_header(head: bytes, last: str, place: int) -> tuple[bytes, int]:
    """Kind and size that a header gives."""
    if len(head) < BLOCK:
        raise ArchiveInvalid(f"the archive is cut off at byte {place + len(head)}, after {_shown(last)}")
    if head[257:265] not in _MAGICS or _octal(head[148:156]) != sum(head) - sum(head[148:156]) + 8 * 0x20:
        raise ArchiveInvalid(f"the archive is damaged after {_shown(last)}" if place else "this is no tar archive")
    size = int.from_bytes(head[125:136], "big") if head[124] == 0x80 else _octal(head[124:136])
    if size is None:
        raise ArchiveInvalid(f"the entry after {_shown(last)} gives no size")
    return head[156:157], size


def _octal(field: bytes) -> int | None:
    digits = field.strip(b" \0")
    return int(digits, 8) if re.fullmatch(rb"[0-7]{1,12}", digits) else None


def _padded(size: int) -> int:
    return size + -size % BLOCK


def _small(data: RandomBytes, place: int, size: int, last: str) -> bytes:
    body = data.pread(place, size) if size <= _LARGEST_HEADER else b""
    if not size or len(body) != size:
        raise ArchiveInvalid(f"the archive has an extended header of {size} bytes after {_shown(last)}")
    return body


def _records(body: bytes, last: str) -> dict[str, str]:
    """The records of a pax header that say something of a file's place: path and size."""
    found: dict[str, str] = {}
    place = 0
    while place < len(body):
        match = _RECORD.match(body, place)
        end = place + int(match[1]) if match else 0
        if match is None or end <= match.end() or end > len(body) or body[end - 1 : end] != b"\n":
            raise ArchiveInvalid(f"the archive has a damaged extended header after {_shown(last)}")
        name = match[2]
        if name.startswith(b"GNU.sparse"):
            raise ArchiveInvalid(f"the archive has a sparse file after {_shown(last)}; it is refused")
        if name in (b"path", b"size"):
            found[name.decode()] = _text(body[match.end() : end - 1], last)
        place = end
    return found


def _text(value: bytes, last: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArchiveInvalid(f"the name of the entry after {_shown(last)} is not UTF-8: {value[:80]!r}") from error


def _name(head: bytes, extended: Mapping[str, str], last: str) -> str:
    """The entry's name without `./`. Raises `ArchiveInvalid` for one that leads out of the archive."""
    name = extended.get("path")
    if name is None:
        name = _text(head[:100].partition(b"\0")[0], last)
        prefix = _text(head[345:500].partition(b"\0")[0], last) if head[257:265] == _MAGICS[0] else ""
        name = f"{prefix}/{name}" if prefix else name
    if (length := len(name.encode())) > _LONGEST_NAME:
        raise ArchiveInvalid(
            f"the archive has an entry with a name of {length} bytes, {name[:80]!r}…; {_LONGEST_NAME} are the most"
        )
    plain = name.removeprefix("./").removesuffix("/")
    parts = plain.split("/")
    if plain not in {"", "."} and (not all(parts) or {".", ".."} & {*parts} or re.search(r"[\\\0-\x1f\x7f]", plain)):
        raise ArchiveInvalid(f"the archive has an entry called {name[:200]!r}; it is refused")
    return plain


def _size(extended: Mapping[str, str], size: int, last: str) -> int:
    text = extended.get("size")
    if text is None:
        return size
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ArchiveInvalid(f"the entry after {_shown(last)} gives no size")
    return int(text)


def _shown(last: str) -> str:
    return repr(last) if last else "its beginning"
