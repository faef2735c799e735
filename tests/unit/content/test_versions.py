"""Tags as versions: told from other tags, ordered as semver orders them, chosen by ranges."""

import pytest

from registry.content.versions import RangeInvalid, VersionRange, newest, version_of


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("1", "1.0.0"), ("1.27", "1.27.0"), ("v1.27.3", "1.27.3"), ("1.27.3-alpine3.20", "1.27.3-alpine3.20"),
        ("20240131", "20240131.0.0"), ("3.20_git", None), ("latest", None), ("1.2.3.4", None), ("", None),
        ("1.2.3-rc.01", "1.2.3-rc.01-"), ("1.0.0-", None), ("01.02.03", "1.2.3"), ("9" * 128, f"{'9' * 128}.0.0"),
        ("1..2", None),
        ("v1.0.0-rc.1", "1.0.0-rc.1"), ("2024.01.05", "2024.1.5"), ("version1", None), ("1.0.0-rc..1", None),
        ("\u0661.\u0662", None),
    ],
)  # fmt: skip
def test_a_tag_is_a_version_or_not(tag: str, version: str | None) -> None:
    found = version_of(tag)

    assert (None if found is None else str(found)) == version


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">= 3.12.0", ["3.12.0", "v3.20", "4"], ["3.11.9", "edge", "3.13.0-rc1"]),
        (">=1.26, <2", ["1.26", "1.99.9"], ["1.25.9", "2.0"]),
        ("^1.26.0", ["1.27.0"], ["2.0.0", "1.25"]),
        ("~1.26", ["1.26.5"], ["1.27.0"]),
        ("1.x || 3.x", ["1.5.0", "3.0"], ["2.1"]),
        ("1.2", ["1.2.9"], ["1.3.0"]),
    ],
)
def test_a_range_has_what_it_says(text: str, inside: list[str], outside: list[str]) -> None:
    versions = VersionRange.parse(text)

    assert [tag for tag in inside if not versions.has(tag)] == []
    assert [tag for tag in outside if versions.has(tag)] == []


@pytest.mark.parametrize("text", ["", " ", "latest", ">>1", ">=", "1.2.3.4", "a" * 10_000, "!=1", "0 - <"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(RangeInvalid, match="is not a range of versions"):
        VersionRange.parse(text)


def test_the_newest_are_those_with_the_highest_versions() -> None:
    tags = ["1.9.0", "1.10.0", "1.10.0-rc1", "latest", "1.10", "2", "0.1.0"]

    assert newest(tags, 2) == ["1.10.0", "1.10.0-rc1"]
    assert newest(tags, 99) == ["1.10.0", "1.10.0-rc1", "1.9.0", "0.1.0"]
    assert newest(["3.9", "3.10", "edge"], 1) == ["3.10"]
    assert newest(["20240201", "20240105"], 1) == ["20240201"]
    assert newest(["latest"], 5) == []
