"""`cargohold config …`."""

from importlib import resources
from pathlib import Path

import pytest
import yaml

from config.load import load
from config.settings import Settings
from tests.unit.cli.conftest import Cargohold


def test_check_names_each_mistake_and_ends_with_2(cargohold: Cargohold) -> None:
    Path("bad.yml").write_text("server:\n  lisen: 1\nlog:\n  level: loud\n")

    ended = cargohold("config", "check", "bad.yml")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines() == [
        "cargohold: the settings cannot be used:",
        "  bad.yml:2:3: server.lisen: there is no such setting. Did you mean server.listen?",
        "  bad.yml:4:10: log.level: should be 'debug', 'info', 'warning' or 'error' (found 'loud')",
    ]


def test_check_says_when_there_is_no_mistake(cargohold: Cargohold) -> None:
    Path("good.yml").write_text("server: {workers: 2}\n")

    ended = cargohold("config", "check", "good.yml")

    assert (ended.code, ended.out) == (0, "good.yml: no mistake found\n")


@pytest.mark.parametrize(
    ("default", "rules", "noted"),
    [
        ("hub", "", True),
        ("hub", "access: {rules: [{who: [authenticated], repositories: [team/**, hub/**], actions: [push]}]}", True),
        ("hub", "access: {rules: [{who: [authenticated], repositories: ['**'], actions: [pull]}]}", False),
        ("hub", "access: {rules: [{who: [authenticated], repositories: [hub/**], actions: [pull, push]}]}", False),
        ("", "", False),
    ],
)
def test_check_notes_that_names_which_nothing_here_has_come_from_elsewhere(
    cargohold: Cargohold, default: str, rules: str, noted: bool
) -> None:
    mirror = f"mirror: {{default: '{default}', sources: [{{prefix: hub, upstream: docker.io}}]}}"
    Path("c.yml").write_text(f"auth: {{enabled: true}}\n{mirror}\n{rules}\n")

    ended = cargohold("config", "check", "c.yml")

    assert (ended.code, ended.out) == (0, "c.yml: no mistake found\n")
    assert ("note: mirror.default: " in ended.err) == noted


def test_check_judges_the_file_alone(cargohold: Cargohold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARGOHOLD_SERVER__WORKERS", "many")
    Path("good.yml").write_text("server: {workers: 2}\n")

    assert cargohold("config", "check", "good.yml").code == 0


def test_show_prints_what_is_in_force_as_a_file_that_says_the_same(
    cargohold: Cargohold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARGOHOLD_SERVER__MAX_UPLOADS", "3")
    Path("some.yml").write_text("server: {workers: 2, unix_socket_mode: '0600'}\n")

    ended = cargohold("config", "show", "--config", "some.yml")

    Path("shown.yml").write_text(ended.out)
    shown = load(Path("shown.yml"), environment=False)
    assert (shown.server.workers, shown.server.max_uploads, shown.server.unix_socket_mode) == (2, 3, 0o600)
    assert list(yaml.safe_load(ended.out)) == list(Settings.model_fields)


def test_show_shows_settings_that_a_server_would_refuse(cargohold: Cargohold) -> None:
    Path("open.yml").write_text("server: {listen: '0.0.0.0:5000'}\n")

    assert "listen: 0.0.0.0:5000" in cargohold("config", "show", "--config", "open.yml").out


def test_the_file_may_be_named_by_a_variable(cargohold: Cargohold, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("some.yml").write_text("server: {workers: 7}\n")
    monkeypatch.setenv("CARGOHOLD_CONFIG", "some.yml")

    assert "workers: 7" in cargohold("config", "show").out


def test_default_prints_the_reference_file(cargohold: Cargohold) -> None:
    assert cargohold("config", "default").out == resources.files("config").joinpath("default.yml").read_text("utf-8")
