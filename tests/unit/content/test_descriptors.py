"""Descriptors and annotations: what is not one is refused, with the place where it stands."""

import pytest

from registry.content.descriptors import parse_annotations, parse_descriptor
from registry.content.digest import Digest
from registry.content.errors import ManifestInvalid

_DIGEST = str(Digest.of(b""))
_GOOD: dict[str, object] = {"mediaType": "text/plain", "digest": _DIGEST, "size": 0}


def test_a_descriptor_is_media_type_digest_and_size() -> None:
    descriptor = parse_descriptor(_GOOD, "config")

    assert (descriptor.media_type, str(descriptor.digest), descriptor.size) == ("text/plain", _DIGEST, 0)
    assert not descriptor.foreign


def test_members_that_we_do_not_know_are_left_alone() -> None:
    assert parse_descriptor({**_GOOD, "data": 5, "platform": [], "org.example": None}, "config").size == 0


@pytest.mark.parametrize(("urls", "foreign"), [(["https://example.com/l"], True), ([], False), (None, False)])
def test_a_descriptor_with_urls_is_foreign(urls: object, foreign: bool) -> None:
    assert parse_descriptor({**_GOOD, "urls": urls}, "config").foreign is foreign


@pytest.mark.parametrize("size", [0, 1, 2**63 - 1])
def test_a_size_is_a_number_of_bytes(size: int) -> None:
    assert parse_descriptor({**_GOOD, "size": size}, "config").size == size


@pytest.mark.parametrize(
    "change",
    [
        {"mediaType": None}, {"mediaType": ""}, {"mediaType": 5},
        {"digest": None}, {"digest": ""}, {"digest": 5}, {"digest": "md5:" + "a" * 32}, {"digest": "sha256:../.."},
        {"size": None}, {"size": -1}, {"size": "0"}, {"size": 0.0}, {"size": True}, {"size": 2**63}, {"size": 10**400},
        {"size": float("inf")},
        {"urls": "https://example.com"}, {"urls": [5]}, {"urls": {}},
    ],
)  # fmt: skip
def test_what_is_not_a_descriptor_is_refused_with_its_place(change: dict[str, object]) -> None:
    [member] = change
    with pytest.raises(ManifestInvalid, match=rf"layers\[3\]\.{member}"):
        parse_descriptor({**_GOOD, **change}, "layers[3]")


@pytest.mark.parametrize("value", [None, [], "a", 5, True])
def test_a_descriptor_is_an_object(value: object) -> None:
    with pytest.raises(ManifestInvalid, match="config must be a descriptor"):
        parse_descriptor(value, "config")


def test_annotations_are_strings_by_name() -> None:
    assert parse_annotations({"a": "", "": "b"}, "annotations") == {"a": "", "": "b"}
    assert parse_annotations(None, "annotations") == {}


@pytest.mark.parametrize("value", [[], "a", 5, {"a": 5}, {"a": None}, {"a": {"b": "c"}}])
def test_other_annotations_are_refused(value: object) -> None:
    with pytest.raises(ManifestInvalid, match="annotations must be an object whose values are strings"):
        parse_annotations(value, "annotations")
