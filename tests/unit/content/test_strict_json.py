"""A document has one meaning or is refused, and no document exhausts its reader."""

import json
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.content import strict_json
from registry.content.strict_json import JSONInvalid

_DEEP = 100_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "Expecting value at line 1 column 1"),
        (b"{", "line 1 column 2"),
        (b"{}{}", "Extra data at line 1 column 3"),
        (b"{} x", "Extra data"),
        (b"{'a': 1}", "line 1"),
        (b'{"a": 1,}', "line 1"),
        (b'{"a":\n1,\n}', "line 3"),
        (b"NaN", "NaN is not JSON"),
        (b'{"size": Infinity}', "Infinity is not JSON"),
        (b'{"size": -Infinity}', "-Infinity is not JSON"),
        (b'"\x01"', "Invalid control character"),
        (b'"\\x"', "escape"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8 at byte 7"),
        (b'{"a": "\xc0\xaf"}', "not UTF-8"),
        ('{"a": 1}'.encode("utf-8-sig"), "BOM"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        ('{"a": 1}'.encode("utf-16-le"), ""),
        ('{"a": 1}'.encode("utf-32"), "not UTF-8"),
        (b'{"a": 1, "a": 1}', "the key 'a' stands twice"),
        (b'{"b": {"a": 1, "c": 2, "a": 3}}', "the key 'a' stands twice"),
        (b'{"a": 1, "\\u0061": 2}', "the key 'a' stands twice"),
        (b'{"' + b"k" * 5000 + b'": 1, "' + b"k" * 5000 + b'": 2}', "stands twice"),
        (b"[" * 30_000, "nested too deeply"),
        (b'{"a":' * 10_000, "nested too deeply"),
        (b"[" * 30_000 + b"]" * 30_000, "nested too deeply"),
        (b'{"x":"' + b"x" * _DEEP * 10 + b'","y":' + b"[" * _DEEP, "nested too deeply"),
        (b"[" * _DEEP + b"]" * _DEEP, "too many values for its size"),
        (b"1" * 5000, "digits"),
        (b'{"size": -' + b"9" * 100_000 + b"}", "digits"),
    ],
)
def test_a_document_without_exactly_one_meaning_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(JSONInvalid) as raised:
        strict_json.loads(data)

    assert reason in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_refused_document_costs_no_time() -> None:
    began = time.process_time()
    for data in (b"[" * 4_000_000, b'{"a":' * 800_000, b"1" * 4_000_000, b'{"' + b'\\",' * 50_000):
        with pytest.raises(JSONInvalid):
            strict_json.loads(data)

    assert time.process_time() - began < 1


@pytest.mark.parametrize("text", [b"[{," * 1_300_000, b'\\",' * 1_300_000])
def test_a_document_of_one_string_takes_a_few_times_its_size(text: bytes) -> None:
    tracemalloc.start()
    try:
        strict_json.loads(b'{"x":"' + text + b'"}')
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 40_000_000


@pytest.mark.parametrize("item", [b"[]", b"{}", b"1", b'""', b'{"a":{}}'])
def test_a_large_document_of_nothing_but_values_is_refused(item: bytes) -> None:
    """Read, it would take a hundred megabytes, and hold up everybody else meanwhile."""
    data = b'{"x":[' + b",".join([item] * 400_000) + b"]}"

    with pytest.raises(JSONInvalid, match="too many values for its size"):
        strict_json.loads(data)


@pytest.mark.parametrize(
    "value",
    [
        {"text": "[{," * 1_000_000},
        {"text": '\\",' * 500_000},
        {f"key {n}": "value" for n in range(100_000)},
        [
            {"mediaType": "a/b", "digest": f"sha256:{n:064}", "size": n, "platform": {"os": "linux"}}
            for n in range(20_000)
        ],
        [[]] * 10_000,
    ],
)
def test_a_large_document_that_says_something_is_read(value: object) -> None:
    assert strict_json.loads(json.dumps(value).encode()) == value


def test_lone_surrogates_that_are_escaped_are_text_that_can_be_written_again() -> None:
    document = strict_json.loads(b'{"a": "\\ud800"}')

    assert strict_json.loads(json.dumps(document).encode()) == document


def test_a_key_may_stand_once_in_each_object() -> None:
    assert strict_json.loads(b'[{"a": 1}, {"a": {"a": 2}}]') == [{"a": 1}, {"a": {"a": 2}}]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_JSON, st.booleans())
def test_every_plain_document_is_read_as_it_was_written(value: object, ascii_only: bool) -> None:
    assert strict_json.loads(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary())
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        strict_json.loads(data)
    except JSONInvalid:
        return
    json.loads(data.decode())


@given(_JSON | st.text(alphabet='a\xe9\ud800\x00"\\\U0001f600'))
def test_what_is_written_reads_as_it_was_and_is_never_longer_than_what_was_read(value: object) -> None:
    written = strict_json.dumps(value)

    assert strict_json.loads(written) == value
    assert len(written) <= len(json.dumps(value))
