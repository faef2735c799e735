"""Progress on a terminal: a bar in one line that fits; elsewhere lines for a log."""

import contextlib
import os
import pty
from collections.abc import Callable, Iterator

import pytest

from registry.cli import output
from registry.cli.copying import line_at
from registry.cli.showing import bar
from registry.mirror.progress import Tally

Show = Callable[[Callable[[], str]], str]


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Show]:
    """Shows progress to a person whose terminal has 60 columns; returns what arrives there."""
    ours, theirs = pty.openpty()
    monkeypatch.setenv("COLUMNS", "60")
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "w") as stream:

        def show(text: Callable[[], str]) -> str:
            with contextlib.redirect_stderr(stream):
                output.progress(text())
            return screen.read(1000).decode()

        yield show


def half_done() -> Tally:
    tally = Tally()
    tally.size, tally.size_done = 2048, 1024
    return tally


def test_a_terminal_shows_a_bar(on_terminal: Show) -> None:
    shown = on_terminal(lambda: line_at(half_done(), 1.0, 3, 6, 0))

    assert shown == "\r\x1b[K[##########..........]  50 %  3/6 images  1.02kB/2.05kB"


def test_a_line_never_wraps_for_it_could_not_be_written_over(on_terminal: Show) -> None:
    assert on_terminal(lambda: "x" * 500) == "\r\x1b[K" + "x" * 59


@pytest.mark.parametrize(("size", "done", "full"), [(10, 0, 0), (10, 9, 18), (10, 10, 20), (10, 11, 20)])
def test_a_bar_is_never_longer_than_its_frame(on_terminal: Show, size: int, done: int, full: int) -> None:
    shown = on_terminal(lambda: " ".join(bar(done, size)))

    assert shown.startswith(f"\r\x1b[K[{'#' * full}{'.' * (20 - full)}]")


def test_of_nothing_there_is_no_bar(on_terminal: Show) -> None:
    assert on_terminal(lambda: " ".join(bar(0, 0)) + ".") == "\r\x1b[K."


def test_a_log_has_no_bars(capsys: pytest.CaptureFixture[str]) -> None:
    output.progress(line_at(half_done(), 1.0, 3, 6, 0))

    assert capsys.readouterr().err == "3/6 images  1.02kB/2.05kB\n"
