"""Messages of the program on stderr."""

import json
import logging
from collections.abc import Iterator

import pytest

from registry.ops.logs import configure_logging


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    kept = root.handlers[:], root.level, uvicorn.level
    yield
    root.handlers[:] = kept[0]
    root.setLevel(kept[1])
    uvicorn.setLevel(kept[2])


def test_json_has_one_object_a_line_whatever_the_message_holds(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json_lines=True, level="info")

    logging.getLogger("some.part").warning("two\nlines of %s", "ümlaut")

    [line] = capsys.readouterr().err.splitlines()
    assert (
        json.loads(line).items()
        >= {"level": "warning", "logger": "some.part", "message": "two\nlines of ümlaut"}.items()
    )


def test_json_holds_the_traceback_in_the_same_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json_lines=True, level="info")

    try:
        _ = 1 // 0
    except ZeroDivisionError:
        logging.getLogger("some.part").exception("it failed")

    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["traceback"].endswith("integer division or modulo by zero")


def test_text_keeps_a_message_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json_lines=False, level="info")

    logging.getLogger().warning("a\nforged line\x1b[31m")

    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(r" warning: a\nforged line\x1b[31m")


def test_messages_below_the_level_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json_lines=False, level="warning")

    logging.getLogger().info("not important")

    assert capsys.readouterr().err == ""
