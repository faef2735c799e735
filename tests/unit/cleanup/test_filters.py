"""Filters as people write them, and what they take."""

import pytest

from registry.cleanup.filters import FilterInvalid, Filters, parse_filters

_NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("until=24h", _NOW - 86400),
        ("until=7d", _NOW - 7 * 86400),
        ("until=1w", _NOW - 7 * 86400),
        ("until=1h30m", _NOW - 5400),
        ("until=0.5s", _NOW - 0.5),
        ("until=1600000000", 1_600_000_000),
        ("until=2020-09-13", 1_599_955_200),
        ("until=2020-09-13T12:26:40Z", 1_600_000_000),
        ("until=2020-09-13T14:26:40+02:00", 1_600_000_000),
    ],
)
def test_until_is_a_moment(text: str, moment: float) -> None:
    assert parse_filters([text], lambda: _NOW).until == moment


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no filter; there are until="),
        ("until", "'until' is no filter"),
        ("before=x", "'before=x' is no filter"),
        ("until=", "'until=' names nothing"),
        ("until=soon", "write how long ago, such as 24h or 7d"),
        ("until=-5m", "write how long ago"),
        ("until=2026-13-01", "write how long ago"),
        ("until=9d9", "write how long ago"),
        ("until=99999999999999999999d", "there was no such time"),
        ("until=99999999999999999999", "there was no such time"),
        ("until=0001-01-01T00:00:00+14:00", "no such time"),
        ("until=٢٤h", "write how long ago"),
        ("label==x", "write KEY or KEY=VALUE"),
        ("repository=/team", "is not a pattern"),
        ("repository=te[am]", "has no meaning here"),
        ("tag=v[0-9]", "or a regular expression in slashes"),
        ("tag=/v[0-9/", "in this regular expression"),
        ("dangling=maybe", "write true or false"),
    ],
)
def test_what_means_nothing_is_named(text: str, message: str) -> None:
    with pytest.raises(FilterInvalid) as raised:
        parse_filters([text], lambda: _NOW)
    assert message in str(raised.value)


def test_what_can_be_said_once_is_said_once() -> None:
    with pytest.raises(FilterInvalid, match="until= can be given once"):
        parse_filters(["until=1h", "until=2h"])


@pytest.mark.parametrize(
    ("texts", "tags", "takes"),
    [
        ([], [], True),
        (["tag=v*"], [], False),
        (["tag=v*"], ["v1"], True),
        (["tag=v*"], ["v1", "latest"], False),
        (["tag=v*", "tag=latest"], ["v1", "latest"], True),
        (["tag=v?"], ["v10"], False),
        (["tag=/^v[0-9]+$/"], ["v10"], True),
        (["tag=/^v[0-9]+$/"], ["v10-rc"], False),
    ],
)
def test_an_image_goes_only_if_each_of_its_tags_is_meant(texts: list[str], tags: list[str], takes: bool) -> None:
    assert parse_filters(texts).takes_tags(tags) is takes


@pytest.mark.parametrize(
    ("texts", "takes"),
    [
        (["label=a"], True),
        (["label=a=1"], True),
        (["label=a=2"], False),
        (["label=a", "label=b"], False),
        (["label!=a"], False),
        (["label!=a=2"], True),
        (["label!=b"], True),
    ],
)
def test_labels_have_to_fit_all(texts: list[str], takes: bool) -> None:
    filters = parse_filters(texts)
    assert filters.asks_for_labels
    assert filters.takes_labels({("a", "1"), ("c", "")}) is takes


def test_one_of_several_repository_patterns_has_to_fit() -> None:
    filters = parse_filters(["repository=team/*", "repository=base"])
    assert [filters.takes_repository(name) for name in ("team/app", "team/app/x", "base", "other")] == [
        True, False, True, False,
    ]  # fmt: skip
    assert Filters().takes_repository("anything")


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("False", False), ("0", False)])
def test_dangling_is_true_or_false(text: str, value: bool) -> None:
    assert parse_filters([f"dangling={text}"]).dangling is value
