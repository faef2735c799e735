import json

import pytest

from registry.content.errors import ManifestUnknown
from registry.content.manifests import parse_manifest
from registry.mirror.platforms import Platform, PlatformInvalid, chosen
from tests.images import OCI_INDEX, OCI_MANIFEST


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux//v7"])
def test_what_is_no_platform_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(PlatformInvalid, match="looks like linux/amd64"):
        Platform.parse(text)


@pytest.mark.parametrize(
    ("wanted", "there", "fits"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("windows/amd64", "linux/amd64", False),
        ("linux/arm/v7", "linux/arm", True),
        ("linux/arm/7", "linux/arm/v7", True),
        ("linux/arm/v6", "linux/arm", False),
        ("linux/armhf", "linux/arm/v7", True),
        ("linux/armhf", "linux/arm/v6", False),
        ("linux/armel", "linux/arm/v6", True),
        ("linux/aarch64", "linux/arm64/v8", True),
        ("linux/x86_64", "linux/amd64", True),
        ("Linux/amd64/v1", "linux/amd64", True),
        ("linux/amd64", "linux/amd64/v3", True),
        ("linux/amd64/v3", "linux/amd64", False),
        ("linux/i386", "linux/386", True),
    ],
)
def test_a_platform_covers_its_variants_and_no_other(wanted: str, there: str, fits: bool) -> None:
    assert Platform.parse(wanted).covers(Platform.parse(there)) is fits


def descriptor(number: int, platform: object = None, attests: object = None) -> dict[str, object]:
    value = {"mediaType": OCI_MANIFEST, "digest": f"sha256:{number:064x}", "size": 1}
    annotations = {"annotations": {"vnd.docker.reference.digest": attests}} if attests else {}
    return value | ({"platform": platform} if platform is not None else {}) | annotations


def numbers(entries: list[dict[str, object]], *wanted: str) -> list[int]:
    data = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    found = chosen(data, parse_manifest(data, OCI_INDEX).manifests, [Platform.parse(text) for text in wanted])
    return [int(child.digest.encoded, 16) for child in found]


AMD64, ARM64 = {"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}
UNKNOWN = {"os": "unknown", "architecture": "unknown"}


def test_attestations_come_with_the_image_that_they_attest_and_stay_with_the_others() -> None:
    entries = [
        descriptor(1, AMD64),
        descriptor(2, ARM64),
        descriptor(3, UNKNOWN, f"sha256:{1:064x}"),
        descriptor(4, UNKNOWN, f"sha256:{2:064x}"),
    ]

    assert numbers(entries, "linux/arm64") == [2, 4]


def test_all_children_are_taken_when_no_platform_is_wanted() -> None:
    assert numbers([descriptor(1, AMD64), descriptor(2, ARM64)]) == [1, 2]


@pytest.mark.parametrize("platform", [None, [], "linux", {"os": 1, "architecture": "amd64"}, UNKNOWN])
def test_children_that_name_no_platform_are_always_taken(platform: object) -> None:
    assert numbers([descriptor(1, platform), descriptor(2, AMD64)], "linux/amd64") == [1, 2]


@pytest.mark.parametrize("attests", [["sha256"], {"a": 1}, 7])
def test_an_annotation_that_is_no_text_attests_nothing(attests: object) -> None:
    assert numbers([descriptor(1, UNKNOWN, attests), descriptor(2, AMD64)], "linux/amd64") == [1, 2]


def test_an_index_of_other_platforms_only_says_which_it_has() -> None:
    with pytest.raises(ManifestUnknown, match="no image for linux/s390x; it has linux/amd64"):
        numbers([descriptor(1, AMD64)], "linux/s390x")


def test_a_platform_that_would_write_to_the_terminal_is_told_without() -> None:
    with pytest.raises(ManifestUnknown, match=r"it has \?\[31mred\?/x") as told:
        numbers([descriptor(1, {"os": "\x1b[31mred\ud800", "architecture": "x"})], "linux/amd64")

    assert str(told.value).isprintable()
