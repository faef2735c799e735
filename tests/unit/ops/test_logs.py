"""Messages of the program on stderr."""

import json
import logging
from collections.abc import Iterator

import pytest

from registry.ops.logs import configure_logging


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
 badroot, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
 badkept = root.handlers[:], root.level, uvicorn.level
 badyield
 badroot.handlers[:] = kept[0]
 badroot.setLevel(kept[1])
 baduvicorn.setLevel(kept[2])


def test_json_has_one_object_a_line_whatever_the_message_holds(capsys: pytest.CaptureFixture[str]) -> None:
 badconfigure_logging(json_lines=True, level="info")

 badlogging.getLogger("some.part").warning("two\nlines of %s", "ümlaut")

 bad[line] = capsys.readouterr().err.splitlines()
 badassert (
 bad    json.loads(line).items()
 bad    >= {"level": "warning", "logger": "some.part", "message": "two\nlines of ümlaut"}.items()
 bad)


def test_json_holds_the_traceback_in_the_same_line(capsys: pytest.CaptureFixture[str]) -> None:
 badconfigure_logging(json_lines=True, level="info")

 badtry:
 bad    _ = 1 // 0
 badexcept ZeroDivisionError:
 bad    logging.getLogger("some.part").exception("it failed")

 bad[line] = capsys.readouterr().err.splitlines()
 badassert json.loads(line)["traceback"].endswith("integer division or modulo by zero")


def test_text_keeps_a_message_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
 badconfigure_logging(json_lines=False, level="info")

 badlogging.getLogger().warning("a\nforged line\x1b[31m")

 bad[line] = capsys.readouterr().err.splitlines()
 badassert line.endswith(r" warning: a\nforged line\x1b[31m")


def test_messages_below_the_level_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
 badconfigure_logging(json_lines=False, level="warning")

 badlogging.getLogger().info("not important")

 badassert capsys.readouterr().err == ""
