"""Header fields and parameters: what the RFCs and the spec say, and nothing raises anything unforeseen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.api.errors import ApiError, ParameterInvalid, RangeNotSatisfiable
from registry.api.parsing import ByteRange, byte_range, chunk_range, content_length, matches_etag, page_size
from registry.content.errors import ContentError, SizeInvalid, UploadInvalid
from registry.content.upload_sessions import ChunkRange


@pytest.mark.parametrize(
    ("text", "length", "chunk"),
    [
        (None, None, None),
        (None, 5, None),
        ("0-0", None, ChunkRange(0, 0)),
        ("0-9", 10, ChunkRange(0, 9)),
        ("10-19", 10, ChunkRange(10, 19)),
        ("007-009", 3, ChunkRange(7, 9)),
    ],
)
def test_a_content_range_is_first_and_last_byte(text: str | None, length: int | None, chunk: ChunkRange | None) -> None:
    assert chunk_range(text, length) == chunk


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "0-",
        "-9",
        "9-0",
        "1-0",
        "0-9/10",
        "bytes 0-9/10",
        "bytes=0-9",
        "0-9,10-19",
        "a-b",
        "0 - 9",
        "0-9\n",
        "\u0660-\u0669",
        "+0-9",
        "0--9",
        "0-" + "9" * 19,
        "9" * 5000 + "-" + "9" * 5000,
    ],
)
def test_another_content_range_is_refused_as_an_invalid_upload(text: str) -> None:
    with pytest.raises(UploadInvalid, match="is not <first byte>-<last byte>"):
        chunk_range(text, None)


def test_a_content_range_that_is_not_as_long_as_the_body_is_refused_for_its_size() -> None:
    with pytest.raises(SizeInvalid, match="Content-Range covers 10 bytes, Content-Length says 9"):
        chunk_range("0-9", 9)


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "1e3", "0x10", "\u0661", "\xb2", "9" * 19, "9" * 5000, "5, 5"])
def test_another_content_length_is_refused(text: str) -> None:
    with pytest.raises(ParameterInvalid, match="is not a number of bytes"):
        content_length(text)


def test_a_content_length_is_a_number_of_bytes() -> None:
    assert content_length(None) is None
    assert content_length("0") == 0
    assert content_length("9" * 18) == 10**18 - 1


_SIZE = 1000


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=0-499", ByteRange(0, 500)),
        ("bytes=500-999", ByteRange(500, 500)),
        ("bytes=999-", ByteRange(999, 1)),
        ("bytes=0-", ByteRange(0, 1000)),
        ("bytes=-1", ByteRange(999, 1)),
        ("bytes=-1000", ByteRange(0, 1000)),
        ("bytes=-5000", ByteRange(0, 1000)),
        ("bytes=500-5000", ByteRange(500, 500)),
        ("bytes=500-" + "9" * 18, ByteRange(500, 500)),
        ("Bytes=1-2", ByteRange(1, 2)),
        ("bytes= 1-2 ", ByteRange(1, 2)),
    ],
)
def test_one_range_is_served(text: str, part: ByteRange) -> None:
    """RFC 9110 section 14.1.2."""
    assert byte_range(text, _SIZE) == part


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=0-1,3-4",
        "bytes=0-1, -5",
        "items=0-1",
        "0-1",
        "bytes 0-1",
        "bytes=1",
        "bytes=--1",
        "bytes=0x1-2",
        "bytes=\u0661-\u0662",
        "bytes=0-1;",
        "bytes=" + "0-1," * 10_000,
        "bytes=" + "9" * 100 + "-",
    ],
)
def test_what_is_not_one_range_of_bytes_is_ignored(text: str | None) -> None:
    """RFC 9110 section 14.2: a server may ignore the field."""
    assert byte_range(text, _SIZE) is None


@pytest.mark.parametrize("text", ["bytes=1000-", "bytes=1000-1000", "bytes=5000-6000", "bytes=-0", "bytes=5-4"])
def test_a_range_without_a_byte_is_not_satisfiable(text: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as raised:
        byte_range(text, _SIZE)
    assert raised.value.size == _SIZE


@pytest.mark.parametrize("text", ["bytes=0-", "bytes=0-0", "bytes=-1"])
def test_no_range_of_nothing_is_satisfiable(text: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        byte_range(text, 0)


@given(st.text() | st.from_regex(r"bytes=[0-9]{0,5}-[0-9]{0,5}", fullmatch=True), st.integers(0, 2000))
def test_a_range_lies_within_the_blob(text: str, size: int) -> None:
    try:
        part = byte_range(text, size)
    except RangeNotSatisfiable:
        return
    if part is not None:
        assert 0 <= part.start < part.start + part.length <= size


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        (None, False),
        ("", False),
        ("*", True),
        (" * ", True),
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ('"b","c",W/"a"', True),
        ('"b"', False),
        ("a", False),
        ('"A"', False),
        ('"b", *', False),
    ],
)
def test_if_none_match_names_entity_tags_or_any(text: str | None, matches: bool) -> None:
    """RFC 9110 section 13.1.2."""
    assert matches_etag(text, '"a"') is matches


@pytest.mark.parametrize(
    ("text", "size"),
    [(None, 100), ("", 100), ("0", 0), ("1", 1), ("007", 7), ("1000", 1000), ("1001", 1000), ("9" * 5000, 1000)],
)
def test_a_page_has_as_many_entries_as_asked_for_and_allowed(text: str | None, size: int) -> None:
    assert page_size(text, 100, 1000) == size


@pytest.mark.parametrize("text", ["-1", "+1", "1.5", "ten", " 1", "\u0661", "\xb2", "0x1", "1\n"])
def test_another_page_size_is_refused(text: str) -> None:
    with pytest.raises(ParameterInvalid, match="is not a number of entries"):
        page_size(text, 100, 1000)


@given(st.text())
def test_no_text_raises_anything_unforeseen(text: str) -> None:
    for parse in (lambda: chunk_range(text, 5), lambda: content_length(text), lambda: page_size(text, 1, 2)):
        try:
            parse()
        except (ApiError, ContentError):
            continue
    assert matches_etag(text, '"a"') in (True, False)
