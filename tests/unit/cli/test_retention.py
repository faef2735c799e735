"""`cargohold retention`: what it says before and after, and how it ends."""

import json
import sys
from pathlib import Path

import pytest
import typer

from registry.content import keyspace
from tests.unit.cli.conftest import Cargohold
from tests.unit.cli.filled import filled

_POLICIES = """
retention:
  policies:
    - name: apps
      repositories: team/*
      keep: [{tags: "v*"}]
      expire: [{tags: "pr-*", after: 30h}]
    - name: rest
      repositories: "**"
      untagged_after: 1h
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A registry with old images under these tags."""
    filled(tmp_path / "data", "v1", "pr-1", "main", hours=50)
    return tmp_path / "data"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "cargohold.yml"
    file.write_text(_POLICIES)
    return file


def tags(root: Path) -> list[str]:
    return sorted(path.name for path in (root / keyspace.tags("team/app")).iterdir())


def test_a_dry_run_says_which_rule_keeps_or_takes_each_tag(cargohold: Cargohold, root: Path, config: Path) -> None:
    dry = cargohold("retention", "--config", config, "--root", root, "--dry-run")

    assert dry.code == 0, dry.err
    lines = dry.out.splitlines()
    assert lines[0].split() == ["REPOSITORY", "TAG", "IMAGE", "DECISION", "RULE", "POLICY"]
    told = {line.split()[1]: " ".join([line.split()[3], *line.split()[4:]]) for line in lines[1:4]}
    assert told == {
        "v1": "keep keep tags v* apps",
        "pr-1": "remove expire pr-* after 30h apps",
        "main": "remove no rule keeps it apps",
    }
    assert lines[-1].startswith("Would remove 2 tags and 2 images. Total reclaimable space: ")
    assert tags(root) == ["main", "pr-1", "v1"]


def test_what_goes_is_shown_before_it_asks(
    cargohold: Cargohold, root: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, True])
    monkeypatch.setattr(typer, "confirm", lambda text, err: next(answers))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)

    refused = cargohold("retention", "--config", config, "--root", root)
    assert refused.code == 1
    assert "untagged: team/app:main (no rule keeps it)" in refused.err
    assert "Would remove 2 tags and 2 images" in refused.err
    assert tags(root) == ["main", "pr-1", "v1"]

    done = cargohold("retention", "--config", config, "--root", root)
    assert done.code == 0
    assert "untagged: team/app:pr-1 (expire pr-* after 30h)" in done.out
    assert "Removed 2 tags and 2 images. Total reclaimed space: " in done.out
    assert tags(root) == ["v1"]


def test_the_result_is_there_for_programs_and_gc_frees_the_space(
    cargohold: Cargohold, root: Path, config: Path
) -> None:
    found = json.loads(cargohold("retention", "-c", config, "-r", root, "--force", "--gc", "--json").out)

    assert {(row["tag"], row["keep"], row["rule"], row["policy"]) for row in found["decisions"]} == {
        ("v1", True, "keep tags v*", "apps"),
        ("pr-1", False, "expire pr-* after 30h", "apps"),
        ("main", False, "no rule keeps it", "apps"),
    }
    assert sorted(row["untagged"] for row in found["images"]) == [["main"], ["pr-1"]]
    assert found["reclaimed"] == found["gc"]["freed"] > 0
    assert tags(root) == ["v1"]


def test_one_policy_can_be_asked_for(cargohold: Cargohold, root: Path, config: Path) -> None:
    found = cargohold("retention", "-c", config, "-r", root, "--force", "--policy", "rest")
    assert found.out.startswith("Removed 0 tags and 0 images.")
    assert tags(root) == ["main", "pr-1", "v1"]


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ([], _POLICIES, "there is no terminal to ask: say --force, or look first with --dry-run"),
        (["--force", "--policy", "nobody"], _POLICIES, "--policy: there is no policy 'nobody', only apps, rest"),
        (["--force"], "", "there is no policy: write some as retention.policies"),
        (
            ["--force"],
            _POLICIES.replace('"pr-*"', '"/pr[/"'),
            "cargohold.yml:7:23: retention.policies.0.expire.0.tags: /pr[/: unterminated",
        ),
        (["--force"], _POLICIES.replace("keep:", "kept:"), "cargohold.yml:6:7"),
    ],
)
def test_wrong_arguments_and_settings_are_named(
    cargohold: Cargohold, root: Path, config: Path, arguments: list[str], settings: str, message: str
) -> None:
    config.write_text(settings)
    done = cargohold("retention", "-c", config, "-r", root, *arguments)
    assert done.code == 2
    assert message in done.err
    assert tags(root) == ["main", "pr-1", "v1"]
