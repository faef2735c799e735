"""Whatever is called a bundle, reading it ends with its images or with an error that says what is wrong."""

import struct
import tempfile
from pathlib import Path

import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registry.content.errors import ContentError
from registry.mirror.archive import ArchiveInvalid
from registry.mirror.bundle_base import dump_inventory, parse_inventory
from registry.mirror.bundle_reader import contents, open_bundle
from registry.mirror.layout_index import parse_ref_name
from tests.security.hostile_tars import bundle_files, packed

_GOOD = packed(bundle_files())
_PACKED = zstandard.compress(_GOOD)
_ZSTD = (
    _PACKED
    + struct.pack("<II", 0x184D2A5E, 17)
    + struct.pack("<II", len(_PACKED), len(_GOOD))
    + struct.pack("<IBI", 1, 0, 0x8F92EAB1)
)
_CHANGES = st.lists(st.tuples(st.integers(0, len(_GOOD) - 1), st.binary(min_size=1, max_size=12)), max_size=4)


def read(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "b.tar")
        path.write_bytes(data)
        bundle = open_bundle(path)
        try:
            list(contents(bundle))
        finally:
            bundle.close()


def test_the_archives_that_are_changed_are_good() -> None:
    read(_GOOD)
    read(_ZSTD)


@given(st.sampled_from([_GOOD, _ZSTD]), _CHANGES, st.integers(0, len(_GOOD)))
@example(_GOOD, [(124, b"\x80" + b"\xff" * 11)], len(_GOOD))
@settings(max_examples=150, deadline=None)
def test_a_changed_archive_is_read_or_refused(data: bytes, changes: list[tuple[int, bytes]], length: int) -> None:
    changed = bytearray(data)
    for place, value in changes:
        changed[place % len(data) : place % len(data) + len(value)] = value

    try:
        read(bytes(changed[:length] if length else changed))
    except ArchiveInvalid as error:
        assert str(error)


@given(st.text(max_size=80) | st.from_regex(r"[a-z:/@.]{0,20}", fullmatch=True))
@settings(max_examples=150, deadline=None)
def test_any_name_of_an_image_is_read_or_refused(text: str) -> None:
    try:
        parse_ref_name(text)
    except ContentError as error:
        assert str(error)


@given(st.sets(st.integers(0, 2**64 - 1), max_size=300))
@settings(max_examples=50, deadline=None)
def test_an_inventory_knows_all_that_was_put_into_it(inside: set[int]) -> None:
    found = parse_inventory(dump_inventory("now", inside))

    assert {value * found.range >> 64 for value in inside} == found.members


@given(st.binary(max_size=200), st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_a_damaged_inventory_is_refused(noise: bytes, place: int) -> None:
    data = dump_inventory("now", {value * 2**56 for value in range(100)})
    changed = data[:place] + noise + data[place + len(noise) :]

    try:
        parse_inventory(changed)
    except ArchiveInvalid as error:
        assert str(error)
