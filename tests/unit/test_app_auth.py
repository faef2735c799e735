"""No change of the settings file opens a server that runs."""

import os
import time
from pathlib import Path

import pytest

from auth.access import Action
from auth.identity import ANONYMOUS, Identity, Kind
from auth.policy_source import PolicySource
from config.load import read
from registry.app_auth import SettingsSource, build_policy_source, signature_of

RULES = "access:\n  rules:\n    - {who: user:alice, repositories: 'team/**', actions: [pull]}\n"
ALICE = Identity(Kind.USER, "alice")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "c.yml"


def serving(file: Path, text: str) -> PolicySource:
    """The policy of a server that was started with this file."""
    file.write_text(text)
    loaded = read(file)
    return build_policy_source(loaded.settings, SettingsSource(file, loaded, lambda: read(file), signature_of(file)))


def save(file: Path, text: str) -> None:
    """Write the file, as somebody did a while ago."""
    file.write_text(text)
    then = time.time() - 60 + len(text) / 1000
    os.utime(file, (then, then))


@pytest.mark.parametrize("is_set_outside", [False, True])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ""),
        ("# all of it is gone\n", ""),
        ("access: {}\n", ""),
        ("server: {workers: 2}\n", ""),
        ("auth: {enabled: true}\n", "says nothing of access"),
        ("auth: {enabled: true}\naccess:\n", "says nothing of access"),
        ("auth: {enabled: true}\naccess: {groups: {dev: [bob]}}\n", "access.rules are gone"),
        ("auth: {enabled: true}\naccess: {rules: null, read_only: true}\n", "access.rules are gone"),
        ("auth: {enabled: false}\n" + RULES, ""),
    ],
)
def test_a_file_that_has_lost_its_rules_changes_nothing(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    text: str,
    says: str,
    is_set_outside: bool,
) -> None:
    if is_set_outside:
        monkeypatch.setenv("CARGOHOLD_AUTH__ENABLED", "true")
    source = serving(file, ("" if is_set_outside else "auth: {enabled: true}\n") + RULES)

    save(file, text)

    policy = source.current()
    assert policy.decide(ALICE, "team/x") == {Action.PULL}
    assert policy.decide(ANONYMOUS, "team/x") == policy.decide(ALICE, "x") == frozenset()
    assert says in caplog.text
    assert (str(file) in caplog.text) or ("false" in text and is_set_outside)


def test_a_file_that_is_emptied_takes_no_other_limit_away(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARGOHOLD_AUTH__ENABLED", "true")
    source = serving(file, "access: {read_only: true, immutable_tags: [{tags: [v1]}]}\n")

    save(file, "")

    assert source.current().read_only
    assert source.current().immutable_in("a") is not None
    assert "says nothing of access" in caplog.text


def test_a_file_that_said_nothing_may_go_on_saying_nothing(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARGOHOLD_AUTH__ENABLED", "true")
    source = serving(file, "log: {level: debug}\n")

    save(file, "")

    assert source.current().decide(ALICE, "a") == {Action.PULL, Action.PUSH, Action.DELETE}
    assert "wrong" not in caplog.text


def test_rules_that_allow_nothing_can_be_written(file: Path) -> None:
    source = serving(file, "auth: {enabled: true}\n" + RULES)

    save(file, "auth: {enabled: true}\naccess: {rules: []}\n")

    assert source.current().decide(ALICE, "team/x") == frozenset()


def test_a_server_that_asks_nobody_to_log_in_stays_open_whatever_the_file_says(file: Path) -> None:
    source = serving(file, "access: {read_only: false}\n")

    save(file, "access: {read_only: true}\nauth: {enabled: true}\n")

    assert source.current().read_only
    assert Action.PUSH in source.current().decide(ANONYMOUS, "a")


def test_a_token_service_lets_nobody_in_who_has_not_logged_in(file: Path) -> None:
    file.write_text("")

    policy = build_policy_source(read(file).settings, None, logins=True).current()

    assert policy.decide(ANONYMOUS, "a") == frozenset()
