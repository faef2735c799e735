"""Archives that mean harm are refused with the name of what is wrong in them, and change nothing."""

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from registry.content.digest import Digest
from registry.content.errors import ContentError
from registry.mirror import tar_index
from registry.mirror.archive import ArchiveInvalid
from registry.mirror.bundle_reader import Bundle, open_bundle
from registry.mirror.layout_files import LayoutFiles, open_layout
from tests.images import random_image
from tests.security.hostile_tars import HOSTILE, IMAGE, LYING, bundle_files, good_files, packed
from tests.unit.mirror.bundles import load_into
from tests.unit.mirror.places import MemoryPlace

ALL = {**HOSTILE, **{f"a manifest with {name}": value for name, value in LYING.items()}}


def state(place: MemoryPlace) -> dict[str, object]:
    """What anybody can see of a place."""
    return {name: (held.manifests, held.tags) for name, held in place.held.items() if held.manifests}


@pytest.mark.parametrize("files", [good_files, bundle_files])
def test_the_archive_that_the_hostile_ones_are_made_of_is_loaded(tmp_path: Path, files: object) -> None:
    (tmp_path / "b.tar").write_bytes(packed(files()))  # type: ignore[operator]  # one of the two functions
    target = MemoryPlace()

    load_into(target, tmp_path / "b.tar")

    assert target.at("team/app").tags == {"1": Digest.parse(IMAGE.manifest.digest)}


@pytest.mark.parametrize("name", ALL)
def test_a_hostile_archive_is_refused_by_name_and_changes_nothing(tmp_path: Path, name: str) -> None:
    make, message = ALL[name]
    (tmp_path / "b.tar").write_bytes(make())
    target = MemoryPlace()
    target.add("team/app", random_image(7, layer_size=100), "1")
    before = state(target)

    with pytest.raises(ContentError, match=message):
        tally = load_into(target, tmp_path / "b.tar")
        raise ContentError("; ".join(failed.reason for failed in tally.failed))

    assert state(target) == before
    assert {path.name for path in tmp_path.parent.rglob("*evil*")} == set()


def test_an_archive_with_too_many_entries_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_index, "MOST_ENTRIES", 100)
    (tmp_path / "b.tar").write_bytes(packed({f"file{number}": b"" for number in range(101)} | good_files()))

    with pytest.raises(ArchiveInvalid, match="more than 100 entries; the last one read is 'file99'"):
        load_into(MemoryPlace(), tmp_path / "b.tar")


@pytest.mark.parametrize("read", [open_bundle, open_layout])
def test_files_that_nobody_reads_take_no_memory(tmp_path: Path, read: Callable[[Path], Bundle | LayoutFiles]) -> None:
    path = tmp_path / "b.tar"
    path.write_bytes(packed({f"{number:0900}": b"" for number in range(2000)} | good_files()))

    tracemalloc.start()
    try:
        opened = read(path)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    opened.close()

    assert held < 200_000


def seekable(frames: list[tuple[bytes, int]], *, count: int | None = None) -> bytes:
    """A compressed archive whose table claims these sizes."""
    table = b"".join(struct.pack("<II", len(frame), size) for frame, size in frames)
    head = struct.pack("<II", 0x184D2A5E, len(table) + 9)
    foot = struct.pack("<IBI", len(frames) if count is None else count, 0, 0x8F92EAB1)
    return b"".join(frame for frame, _ in frames) + head + table + foot


GOOD = zstandard.compress(packed(good_files()))
ZEROS = zstandard.compress(bytes(1 << 20))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (seekable([(ZEROS, 1 << 20)] * 70), "claims to expand to 73400320"),
        (seekable([(ZEROS, 1 << 31)]), "does not fit"),
        (seekable([(ZEROS + bytes(18 << 20), 1 << 20)]), "does not fit"),
        (seekable([(ZEROS, 100)]), "another size than its table says"),
        (seekable([(zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 20)), 100)]), "frame 0"),
        (seekable([(GOOD[:-50], len(packed(good_files())))]), "frame 0"),
        (seekable([(GOOD, 1)], count=4_000_000_000), "claims 4000000000 frames"),
        (seekable([(GOOD, 1)], count=0), "table of frames is damaged"),
        (GOOD, "without a table"),
        (GOOD[:100], "cut off or without a table"),
        (b"\x28\xb5\x2f\xfd", "cut off or without a table"),
    ],
)
def test_a_compressed_archive_that_lies_about_what_it_holds_is_refused(
    tmp_path: Path, data: bytes, message: str
) -> None:
    (tmp_path / "b.tar").write_bytes(data)

    with pytest.raises(ArchiveInvalid, match=message):
        load_into(MemoryPlace(), tmp_path / "b.tar")
