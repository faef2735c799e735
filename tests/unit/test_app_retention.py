"""Policies out of a settings file: what they become, and which mistakes are named with their line."""

import re
from pathlib import Path

import pytest

from config.load import ConfigError, load, read
from registry.app_retention import retention_policies, retention_problems
from tests.architecture.places import ROOT

_DAY = 86400.0
_WHOLE = """
retention:
  interval_seconds: 12h
  policies:
    - name: apps
      repositories: ["team/**", base]
      enabled: true
      keep:
        - newest: 10
        - tags: "v*, /^release-/"
          order: semver
          newest: 3
        - pulled_within: 30d
          pushed_within: 90d
          labels: [keep, stage=production]
          signed: true
      expire:
        - tags: [pr-*]
          after: 14d
      untagged_after: 7d
"""


def test_a_policy_is_what_stands_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "cargohold.yml"
    file.write_text(_WHOLE)

    settings = load(file, environment=False)
    [policy] = retention_policies(settings)

    assert settings.retention.interval_seconds == _DAY / 2
    assert (policy.name, policy.enabled, policy.untagged_after) == ("apps", True, 7 * _DAY)
    assert [policy.takes(name) for name in ("team/app/x", "base", "other")] == [True, True, False]
    assert [str(rule) for rule in (*policy.keep, *policy.expire)] == [
        "keep newest 10",
        "keep newest 3, by semver, tags v* /^release-/",
        "keep pulled within 30d, pushed within 90d, label keep, label stage=production, signed",
        "expire pr-* after 14d",
    ]
    assert not list(retention_problems(settings))


@pytest.mark.parametrize(
    ("line", "instead", "place", "message"),
    [
        ("    - name: apps", '    - name: ""', 5, "at least 1 character"),
        ('      repositories: ["team/**", base]', "      repositories: [te[am]", 6, ""),
        ('      repositories: ["team/**", base]', '      repositories: ["te[am]"]', 6, "'te[am]'"),
        (
            '      repositories: ["team/**", base]',
            '      repositories: ["Team/**"]',
            6,
            "'Team/**' fits no repository: 'T'",
        ),
        ("        - newest: 10", '        - tags: "release/*"', 9, "'release/*' fits no tag: '/'"),
        ("        - tags: [pr-*]", '        - tags: ["pr/*"]', 18, "'pr/*' fits no tag: '/'"),
        ('      repositories: ["team/**", base]', "      repositories: []", 6, "at least 1 item"),
        ("        - newest: 10", "        - newest: 0", 9, "greater than or equal to 1"),
        ("        - newest: 10", "        - newset: 10", 9, "newset"),
        ("        - newest: 10", "        - signed: false", 9, "says nothing: add newest, tags"),
        ("        - newest: 10", "        - order: semver\n          tags: a", 9, "orders nothing without newest"),
        ("        - newest: 10", "        - order: size", 9, "'pushed' or 'semver'"),
        ("        - newest: 10", '        - tags: ["/v[/"]', 9, "in this regular expression"),
        ("        - newest: 10", '        - labels: ["=x"]', 9, "write KEY or KEY=VALUE"),
        ("        - newest: 10", "        - pulled_within: soon", 9, "write a duration"),
        ("          after: 14d", "", 18, "after"),
        ("          after: 14d", "          after: -1", 19, "greater than 0"),
        ("        - tags: [pr-*]", "        - tags: [pr-(]", 18, "has no meaning here"),
        ("      untagged_after: 7d", "      untagged_after: 0", 20, "greater than 0"),
        (
            "      untagged_after: 7d",
            "    - name: apps\n      repositories: x\n      untagged_after: 1d",
            20,
            "apps is the name of another policy already",
        ),
        (
            "      untagged_after: 7d",
            "    - name: all\n      repositories: '**'\n      untagged_after: 1d\n"
            "    - name: never\n      repositories: x\n      untagged_after: 1d",
            23,
            "is never asked: policy all before it takes every repository",
        ),
        (
            "      untagged_after: 7d",
            "    - name: idle\n      repositories: x",
            20,
            "says nothing of what stays or goes: add keep, expire or untagged_after",
        ),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, line: str, instead: str, place: int, message: str) -> None:
    assert line in _WHOLE
    file = tmp_path / "cargohold.yml"
    file.write_text(_WHOLE.replace(line, instead, 1))

    with pytest.raises(ConfigError) as raised:
        read(file, environment=False, checks=(retention_problems,))

    [mistake] = raised.value.mistakes
    assert f"{file}:{place}:" in mistake.where
    assert message in mistake.message


def test_recipes_can_be_copied_from_the_page(tmp_path: Path) -> None:
    recipes = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/retention.md").read_text(), re.DOTALL)
    file = tmp_path / "cargohold.yml"
    for recipe in recipes:
        file.write_text(recipe)
        assert retention_policies(read(file, environment=False, checks=(retention_problems,)).settings)
    assert len(recipes) > 5
