"""The only module that prints. Results go to stdout, everything about the run to stderr."""

import json
import shutil
import sys
import time
import traceback
from collections.abc import Sequence

_UNPRINTABLE = dict.fromkeys((*range(32), *range(127, 160)), "?")
"""What would do something to the terminal: cells hold what others have written."""


def result(text: str) -> None:
    """Print what the user asked for."""
    encoding = sys.stdout.encoding or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)  # names come from whoever pushes
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def json_result(value: object) -> None:
    """Print what the user asked for, for programs."""
    result(json.dumps(value, indent=2, ensure_ascii=False))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, as docker does: three spaces between them, ten characters at least, nothing but the head
    if there is no row.
    """
    columns(head, *rows)


def printable(text: str) -> str:
    """The text without what would do something to the terminal."""
    return text.translate(_UNPRINTABLE)


def columns(*rows: Sequence[str]) -> None:
    """Print rows in columns; the last cell of a row takes as much room as it needs."""
    count = max((len(row) for row in rows), default=0)
    widths = [max((len(row[n]) + 3 for row in rows if len(row) > n + 1), default=0) for n in range(count)]
    for row in rows:
        cells = [printable(cell) for cell in row]
        result("".join(cell.ljust(max(width, 10)) for cell, width in zip(cells, widths, strict=False)).rstrip())


def moment(seconds: float | None) -> str:
    """A time (seconds since the epoch) in UTC; `never` for none."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else "never"


def note(text: str) -> None:
    """Say something about the run."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def progress(text: str, *, last: bool = False) -> None:
    """Say how far the run is: on a terminal in one line that changes, elsewhere in a line of its own."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1  # a line that wraps could not be written over
        sys.stderr.write(f"\r\x1b[K{text[:width]}" + ("\n" if last else ""))
        sys.stderr.flush()
    else:
        note(text)


def error(text: str) -> None:
    """Say what went wrong."""
    note(f"cargohold: {text}")


def trace(failure: BaseException) -> None:
    """Show where in the program a failure came from."""
    traceback.print_exception(failure, file=sys.stderr)
