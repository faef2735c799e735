"""The files of an OCI image layout: in a directory, or in a tar that is never unpacked. Knows names, no images."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from registry.content.digest import Digest
from registry.content.errors import DigestInvalid
from registry.mirror.archive import ArchiveInvalid, Parts, RandomBytes, parts_of
from registry.mirror.seekable_zstd import MAGIC, ZstdBytes
from registry.mirror.tar_index import entries

AS_PLACE = "oci:"
"""How people name a layout where a place is asked for: `oci:PATH`."""
LAYOUT = "oci-layout"
INDEX = "index.json"
_BLOBS = "blobs/"
_PACKED = {b"\x1f\x8b": "gunzip", b"BZ": "bunzip2", b"\xfd7": "unxz", b"\x04\x22": "lz4 -d"}


def blob_name(digest: Digest) -> str:
    """Where a layout keeps a blob."""
    return f"{_BLOBS}{digest.algorithm}/{digest.encoded}"


class LayoutFiles(Protocol):
    """What reading a layout needs. All is *blocking*, and may be called from any thread."""

    def read(self, name: str, limit: int) -> bytes | None:
        """A file that is no blob; None if it is not there. Raises `ArchiveInvalid` beyond `limit` bytes."""
        ...

    def blob_size(self, digest: Digest) -> int | None:
        """Size of a blob in bytes; None if it is not there."""
        ...

    def read_blob(self, digest: Digest, offset: int, length: int) -> bytes:
        """A part of a blob that is there. Raises `ArchiveInvalid` if it is not as long as `blob_size` said."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class DirectoryFiles:
    """A layout in a directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str, limit: int) -> bytes | None:
        """See `LayoutFiles`."""
        path = self._root / name
        if not path.is_file():
            return None
        check_small(name, path.stat().st_size, limit)
        return path.read_bytes()

    def blob_size(self, digest: Digest) -> int | None:
        """See `LayoutFiles`."""
        path = self._root / blob_name(digest)
        return path.stat().st_size if path.is_file() else None

    def read_blob(self, digest: Digest, offset: int, length: int) -> bytes:
        """See `LayoutFiles`."""
        with (self._root / blob_name(digest)).open("rb", buffering=0) as file:
            file.seek(offset)
            block = file.read(length)
        if len(block) != length:
            raise ArchiveInvalid(f"{blob_name(digest)} has become shorter while it was read")
        return block

    def close(self) -> None:
        """See `LayoutFiles`."""


class TarFiles:
    """A layout in a tar: an index in memory, about 200 bytes for each blob. Of what is no blob, only the files that a
    layout has and `others` can be read: a stranger's archive may have any number of them.
    """

    def __init__(self, data: RandomBytes, *others: str) -> None:
        """Find all files. *Blocking*. Raises `ArchiveInvalid`."""
        self._data = data
        self._blobs: dict[Digest, tuple[int, int]] = {}
        self._others: dict[str, tuple[int, int]] = {}
        for entry in entries(data):
            digest = blob_digest(entry.name)
            if digest in self._blobs or entry.name in self._others:
                raise ArchiveInvalid(f"{entry.name!r} stands twice in the archive")
            if digest is not None:
                self._blobs[digest] = entry.offset, entry.size
            elif entry.name in (LAYOUT, INDEX, *others):
                self._others[entry.name] = entry.offset, entry.size

    @property
    def blobs(self) -> Mapping[Digest, int]:
        """Size of each blob."""
        return {digest: size for digest, (_, size) in self._blobs.items()}

    def read(self, name: str, limit: int) -> bytes | None:
        """See `LayoutFiles`."""
        offset, size = self._others.get(name, (0, -1))
        check_small(name, size, limit)
        return self._data.pread(offset, size) if size >= 0 else None

    def blob_size(self, digest: Digest) -> int | None:
        """See `LayoutFiles`."""
        place = self._blobs.get(digest)
        return None if place is None else place[1]

    def read_blob(self, digest: Digest, offset: int, length: int) -> bytes:
        """See `LayoutFiles`."""
        return self._data.pread(self._blobs[digest][0] + offset, length)

    def close(self) -> None:
        """See `LayoutFiles`."""
        self._data.close()


def open_archive(path: Path) -> RandomBytes:
    """The content of an archive: of a file or of its parts, plain or compressed as we do it.

    Raises `ArchiveInvalid`, `OSError`.
    """
    data: RandomBytes = Parts(parts_of(path))
    with ExitStack() as opened:
        opened.callback(data.close)
        magic = data.pread(0, 4)
        if magic[:2] in _PACKED:
            raise ArchiveInvalid(
                f"{path} is compressed in a way that cannot be read at any place; decompress it first with "
                f"`{_PACKED[magic[:2]]}`"
            )
        if magic == MAGIC:
            data = ZstdBytes(data)
        opened.pop_all()
    return data


def open_layout(path: Path) -> DirectoryFiles | TarFiles:
    """The files of the layout in a directory or an archive. *Blocking*. Raises `ArchiveInvalid`, `OSError`."""
    if path.is_dir():
        return DirectoryFiles(path)
    data = open_archive(path)
    with ExitStack() as opened:
        opened.callback(data.close)
        files = TarFiles(data)
        opened.pop_all()
    return files


def blob_digest(name: str) -> Digest | None:
    """The digest of the blob that a file of this name holds; None for other files, and for algorithms not ours.

    Raises `ArchiveInvalid` if it is called like a blob, and cannot be one.
    """
    algorithm, slash, encoded = name.removeprefix(_BLOBS).partition("/")
    if not name.startswith(_BLOBS) or not slash:
        return None
    try:
        return Digest.parse(f"{algorithm}:{encoded}")
    except DigestInvalid as error:
        if algorithm in {"sha256", "sha512"}:
            raise ArchiveInvalid(f"{name[:200]!r} in the archive is called like a blob: {error}") from error
        return None


def check_small(name: str, size: int, limit: int) -> None:
    """Raises `ArchiveInvalid` for a file that would have to be read whole and is too large for that."""
    if size > limit:
        raise ArchiveInvalid(f"{name} has {size} bytes; more than {limit} are not read")
