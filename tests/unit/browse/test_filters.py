"""Filters of `cargohold images`."""

import pytest

from registry.browse.filters import is_pattern, parse_filters, parse_pattern
from registry.cleanup.filters import FilterInvalid


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("team/app", "team/app", True),
        ("team/app", "team/app2", False),
        ("team/*", "team/app", True),
        ("team/*", "team/app/more", False),
        ("*", "team/app", False),
        ("*/*:v?", "team/app:v1", True),
        ("team/[a-c]pp:[^0-9]*", "team/app:latest", True),
        ("team/[a-c]pp:[^0-9]*", "team/app:1", False),
        ("team/app:1.0", "team/app:1x0", False),
        (r"team/\*", "team/*", True),
        ("**", "abc", True),
    ],
)
def test_a_pattern_fits_what_docker_says_that_it_fits(pattern: str, name: str, fits: bool) -> None:
    assert (parse_pattern(pattern).fullmatch(name) is not None) is fits
    assert is_pattern("team/app") is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nope=1", "'nope=1' is no filter; there are before=, since=, label=, reference=, dangling="),
        ("label", "'label' is no filter"),
        ("label=", "'label=' names nothing"),
        ("dangling=maybe", "dangling=maybe: write true or false"),
        ("reference=a[", "reference=a[: write a name with"),
        ("reference=a\\", "write a name with"),
        ("reference=[z-a]", "reference=[z-a]: bad character range"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(FilterInvalid) as refused:
        parse_filters([text])
    assert message in str(refused.value)


def test_dangling_can_be_given_once() -> None:
    with pytest.raises(FilterInvalid, match="once"):
        parse_filters(["dangling=true", "dangling=false"])


def test_all_labels_and_one_of_the_references_have_to_fit() -> None:
    filters = parse_filters(["label=a", "label=b=1", "reference=x", "reference=y:*"])

    assert filters.takes_labels({"a": "", "b": "1"})
    assert not filters.takes_labels({"a": "", "b": "2"})
    assert not filters.takes_labels({"b": "1"})
    assert filters.takes_names("y", "y:2")
    assert not filters.takes_names("z", "z:2")
    assert parse_filters([]).takes_names("anything")
