"""Names and tags: the spec's grammar and nothing beyond it, since they become paths."""

import time
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.content.digest import Digest
from registry.content.errors import ContentError, DigestInvalid, NameInvalid, TagInvalid
from registry.content.names import RepositoryName, Tag, cosign_tags, parse_reference
from storage_backends.keys import check_key

_HOSTILE = [
    "",
    ".",
    "..",
    "../a",
    "a/..",
    "a/../b",
    "a\x00b",
    "a\nb",
    "a\n",
    "a b",
    "a\\b",
    "ä",
    "a\uff0fb",
    "a%2fb",
    "\ud800",
]


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "0",
        "library/alpine",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a---b",
        "a/b/c/d/e/f/g",
        "1.2.3/4",
        "a" * 255,
        "a/" * 127 + "a",
    ],
)
def test_names_of_the_grammar_are_taken(text: str) -> None:
    assert RepositoryName.parse(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *_HOSTILE,
        "A", "Library/alpine", "/a", "a/", "a//b", "-a", "a-", ".a", "a.", "_a", "a_", "a..b", "a___b", "a._b", "a-_b",
        "_manifests", "a/_layers", "a/_uploads/b", "a:b", "a@b", "a" * 256,
    ],
)  # fmt: skip
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(NameInvalid) as raised:
        RepositoryName.parse(text)

    assert "repository name" in raised.value.message
    assert len(raised.value.message) < 2000


@pytest.mark.parametrize("text", ["latest", "v1.0.0", "1", "_", "a-", "a.", "A_b.C-d", "a..b", "a" * 128])
def test_tags_of_the_grammar_are_taken(text: str) -> None:
    assert Tag.parse(text) == text


@pytest.mark.parametrize("text", [*_HOSTILE, "-a", ".a", "a/b", "a+b", "a:b", "a@b", "a" * 129, "a" * 1_000_000])
def test_other_tags_are_refused(text: str) -> None:
    with pytest.raises(TagInvalid) as raised:
        Tag.parse(text)

    assert "is not a tag" in raised.value.message
    assert len(raised.value.message) < 1000


def test_a_reference_is_a_digest_if_it_has_a_colon_and_else_a_tag() -> None:
    digest = Digest.of(b"")

    assert parse_reference(str(digest)) == digest
    assert parse_reference("latest") == Tag("latest")
    with pytest.raises(DigestInvalid):
        parse_reference("latest:1")
    with pytest.raises(TagInvalid):
        parse_reference(str(digest).replace(":", "/"))


@given(st.text(alphabet=st.sampled_from([*"az09._-/AZ\\%:@ ", "\x00", "\n", "ä"]), max_size=40))
def test_whatever_parses_is_a_safe_path_of_plain_components(text: str) -> None:
    for parse in (RepositoryName.parse, Tag.parse):
        try:
            parsed = parse(text)
        except ContentError:
            continue
        assert parsed == text
        assert not PurePosixPath(text).is_absolute()
        assert all(part not in ("", ".", "..") and not part.startswith(".") for part in text.split("/"))
        check_key(text)


def test_a_hostile_name_is_refused_in_no_time() -> None:
    began = time.process_time()
    for text in ("a" * 255, "a-" * 127, "a" + "-" * 254, "a_" * 127, "a/" * 127, "a.a" * 85):
        for tail in ("", "!", "/", "-"):
            try:
                RepositoryName.parse(text[: 255 - len(tail)] + tail)
            except NameInvalid:
                continue

    assert time.process_time() - began < 0.1


def test_cosign_has_no_tags_for_a_digest_that_is_too_long_for_one() -> None:
    short, long = Digest.of(b"x"), Digest.of(b"x", "sha512")

    assert cosign_tags(short) == tuple(f"sha256-{short.encoded}.{kind}" for kind in ("sig", "att", "sbom"))
    assert cosign_tags(long) == ()
