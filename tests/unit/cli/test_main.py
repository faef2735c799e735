"""Global options, and how failures end."""

import sys

import pytest

from registry import __version__
from registry.cli import config_commands
from registry.cli.failure import Failure
from tests.unit.cli.conftest import Cargohold


def test_the_version_is_printed(cargohold: Cargohold) -> None:
    assert cargohold("--version").out == f"cargohold {__version__}\n"


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "--help"), ("reindex", "-h"), ("health", "-h")])
def test_help_teaches_by_examples(cargohold: Cargohold, arguments: tuple[str, ...]) -> None:
    ended = cargohold(*arguments)

    assert ended.code == 0
    assert "Examples:\n" in ended.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("serv",),
        ("serve", "--port", "1"),
        ("serve", "--workers", "many"),
        ("config",),
        *(("health", "--timeout", seconds) for seconds in ("-1", "0", "nan", "1e300")),
    ],
)
def test_wrong_arguments_end_with_2(cargohold: Cargohold, arguments: tuple[str, ...]) -> None:
    assert cargohold(*arguments).code == 2


def test_a_failure_is_one_message_without_a_traceback(cargohold: Cargohold) -> None:
    ended = cargohold("reindex", "--root", "absent")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "cargohold: absent is not there: name the directory of the data with --root, the settings with --config\n"
    )


def test_debug_shows_where_a_failure_came_from(cargohold: Cargohold) -> None:
    ended = cargohold("--debug", "reindex", "--root", "absent")

    assert ended.code == 2
    assert "Traceback (most recent call last)" in ended.err
    assert Failure.__name__ in ended.err


def test_a_mistake_of_ours_says_so_and_how_to_see_more(cargohold: Cargohold, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("impossible")

    monkeypatch.setattr(config_commands, "settings_as_written", broken)

    ended = cargohold("config", "show")

    assert ended.code == 1
    assert ended.err == (
        "cargohold: this is a mistake in Cargohold itself: RuntimeError: impossible\n"
        "Run it again as `cargohold --debug …` to see where, and please report it.\n"
    )


def test_a_file_that_this_user_may_not_have_is_no_mistake_of_ours(
    cargohold: Cargohold, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/srv/private")

    monkeypatch.setattr(config_commands, "settings_as_written", denied)

    ended = cargohold("config", "show")

    assert ended.code == 1
    assert ended.err.startswith("cargohold: /srv/private: Permission denied. Run this as a user who may")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("sync", "--from-file", "-"), 2, "there is nothing to bring"),
        (("lists", "-"), 0, ""),
        (("prune", "--root", "."), 2, "there is no terminal to ask"),
    ],
)
def test_a_closed_standard_input_is_an_empty_one(
    cargohold: Cargohold, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, message: str
) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    ended = cargohold(*arguments)
    sys.stdin.close()

    assert ended.code == code
    assert message in ended.err
