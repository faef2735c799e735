"""Shows how far something is while it runs: one line that changes on a terminal, a line now and then elsewhere."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from registry.cli import output

_BAR = 20
Line = Callable[[float], str]
"""How far it is, after so many seconds; 0 for the last line."""


def bar(done: int, whole: int) -> list[str]:
    """How much of the whole is done, as a bar on a terminal; nothing where it would be one more line each time."""
    if not sys.stderr.isatty() or not whole:
        return []
    share = min(done / whole, 1.0)
    full = int(share * _BAR)
    return [f"[{'#' * full}{'.' * (_BAR - full)}] {int(share * 100):3} %"]


@asynccontextmanager
async def shown(line: Line, *, quiet: bool) -> AsyncIterator[None]:
    """While the context lasts, show progress on stderr, unless `quiet`."""
    if quiet:
        yield
        return
    task = asyncio.create_task(_show(line))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        output.progress(line(0), last=True)


async def _show(line: Line) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(0.2 if sys.stderr.isatty() else 5)
        output.progress(line(time.monotonic() - began))


class Steps:
    """Says now and then how far a loop is, on stderr; nothing of what is done at once."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._said = time.monotonic()
        self._shows = False

    def __call__(self, text: str) -> None:
        """It is here now."""
        now = time.monotonic()
        if now - self._said >= (0.5 if self._on_terminal else 5.0):
            self._said = now
            self._shows = True
            output.progress(text)

    def end(self) -> None:
        """It is done: the terminal's line is free again."""
        if self._on_terminal and self._shows:
            output.progress("")
