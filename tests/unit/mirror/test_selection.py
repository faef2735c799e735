"""Which images are wanted, and what they are called at the target."""

import pytest

from registry.content.errors import NameInvalid
from registry.content.names import RepositoryName, Tag
from registry.content.versions import VersionRange
from registry.mirror.selection import Naming, NamingInvalid, Selection
from registry.name_patterns import NamePattern

_TAGS = [Tag(tag) for tag in ("1.0.0", "1.1.0", "1.2.0", "1.2.0-rc1", "edge", "latest", f"sha256-{'a' * 64}.sig")]
_ALL = (NamePattern.parse("**"),)


def _patterns(*texts: str) -> tuple[NamePattern, ...]:
    return tuple(map(NamePattern.parse, texts))


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (Selection(_ALL), ["1.0.0", "1.1.0", "1.2.0", "1.2.0-rc1", "edge", "latest"]),
        (Selection(_ALL, tags=_patterns("1.*"), exclude_tags=_patterns("*-rc*")), ["1.0.0", "1.1.0", "1.2.0"]),
        (Selection(_ALL, tags=_patterns("edge", "/^1[.]0/")), ["1.0.0", "edge"]),
        (Selection(_ALL, versions=VersionRange.parse(">=1.1")), ["1.1.0", "1.2.0"]),
        (Selection(_ALL, newest=2), ["1.2.0", "1.2.0-rc1"]),
        (Selection(_ALL, versions=VersionRange.parse("1.x"), newest=1), ["1.2.0"]),
        (Selection(_ALL, exclude_tags=_patterns("*")), []),
    ],
)
def test_tags_are_chosen_by_everything_that_was_said(selection: Selection, chosen: list[str]) -> None:
    assert selection.choose(_TAGS) == chosen


def test_repositories_are_chosen_by_pattern() -> None:
    selection = Selection(_patterns("team/**", "/^lib/"), exclude_repositories=_patterns("team/secret"))

    assert [name for name in ("team/app", "team/secret", "library/x", "x") if selection.takes_repository(name)] == [
        "team/app",
        "library/x",
    ]


def test_what_is_named_needs_no_list() -> None:
    assert Selection(_ALL).needs_list
    assert not Selection(_ALL, references=(Tag("v1"),)).needs_list
    assert Selection(_ALL, references=(Tag("v1"),), newest=1).needs_list


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("", "library/alpine"),
        ("mirror", "mirror/library/alpine"),
        ("mirror/", "mirror/library/alpine"),
        ("mirror/{base}", "mirror/alpine"),
        ("{host}/{name}", "r.example-5000/library/alpine"),
    ],
)
def test_names_follow_the_template(template: str, name: str) -> None:
    assert Naming.parse(template).target("R.example:5000", RepositoryName("library/alpine")) == name


@pytest.mark.parametrize(
    "template", ["{user}/{name}", "{name", "name}", "Mirror", "a//{name}", "../{name}", "{}", "a:b"]
)
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises((NamingInvalid, NameInvalid)):
        Naming.parse(template)
