"""Digests are read strictly and printed canonically."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.content.digest import Digest, Hasher, check_algorithm
from registry.content.errors import DigestInvalid

_SHA256 = "sha256:" + "0123456789abcdef" * 4
_SHA512 = "sha512:" + "0123456789abcdef" * 8


@pytest.mark.parametrize("text", [_SHA256, _SHA512])
def test_a_digest_prints_as_it_was_read(text: str) -> None:
    digest = Digest.parse(text)

    assert str(digest) == text
    assert f"{digest.algorithm}:{digest.encoded}" == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "sha256",
        "sha256:",
        f"sha256:{_SHA256}",
        "sha256:" + "g" * 64,
        _SHA256.upper(),
        "sha256:" + "A" * 64,
        _SHA256[:-1],
        _SHA256 + "0",
        _SHA256 + "\n",
        "\n" + _SHA256,
        " " + _SHA256,
        _SHA256 + "\x00",
        "sha256:../../../../etc/passwd",
        "sha256:" + "٤" * 64,
        "sha512:" + "a" * 64,
        "sha256:" + "a" * 128,
        "sha256-" + "a" * 64,
        "md5:" + "a" * 32,
        "sha384:" + "a" * 96,
        "blake3:" + "a" * 64,
        "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564",
        "_sha256:" + "a" * 64,
        "sha256:" + "a" * 1_000_000,
    ],
)
def test_anything_else_is_refused_with_a_short_message(text: str) -> None:
    with pytest.raises(DigestInvalid) as raised:
        Digest.parse(text)

    assert raised.value.message
    assert len(raised.value.message) < 1000


def test_the_message_tells_a_malformed_digest_from_an_algorithm_that_we_lack() -> None:
    with pytest.raises(DigestInvalid, match="is not a digest; one looks like sha256:"):
        Digest.parse("not a digest")
    with pytest.raises(DigestInvalid, match="'md5' is not supported; use sha256 or sha512"):
        Digest.parse("md5:" + "a" * 32)
    with pytest.raises(DigestInvalid, match="a sha256 digest has 64 lower-case hex digits"):
        Digest.parse("sha256:abc")


@given(st.text())
def test_no_text_gets_past_the_grammar(text: str) -> None:
    try:
        digest = Digest.parse(text)
    except DigestInvalid:
        return
    assert str(digest) == text
    assert set(digest.encoded) <= set("0123456789abcdef")


@given(st.binary(), st.sampled_from(["sha256", "sha512"]))
def test_the_digest_of_bytes_is_what_hashlib_says(data: bytes, algorithm: str) -> None:
    digest = Digest.of(data, algorithm)

    assert digest == Digest.parse(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")


@given(st.lists(st.binary()), st.sampled_from(["sha256", "sha512"]))
def test_a_stream_has_the_digest_of_its_bytes_however_it_is_cut(blocks: list[bytes], algorithm: str) -> None:
    hasher = Hasher(algorithm)
    for block in blocks:
        hasher.update(memoryview(block))

    assert hasher.digest() == Digest.of(b"".join(blocks), algorithm)
    assert hasher.offset == sum(map(len, blocks))


def test_digests_sort_as_their_text_does() -> None:
    digests = [Digest.of(bytes([n]), algorithm) for n in range(20) for algorithm in ("sha512", "sha256")]

    assert [str(digest) for digest in sorted(digests)] == sorted(map(str, digests))


@pytest.mark.parametrize("name", ["", "md5", "SHA256", "sha256\n", "sha-256", "shake_128", "../sha256"])
def test_an_algorithm_that_we_lack_is_refused(name: str) -> None:
    with pytest.raises(DigestInvalid, match="not supported"):
        check_algorithm(name)
