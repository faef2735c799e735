"""The only module that prints. Results go to stdout, everything about the run to stderr."""

import json
import sys
import time
import traceback
from collections.abc import Sequence


def result(text: str) -> None:
    """Print what the user asked for."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def json_result(value: object) -> None:
    """Print what the user asked for, for programs."""
    result(json.dumps(value, indent=2, ensure_ascii=False))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, as docker does: three spaces between them, nothing but the head if there is no row."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        result("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


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
        sys.stderr.write(f"\r\x1b[K{text}" + ("\n" if last else ""))
        sys.stderr.flush()
    else:
        note(text)


def error(text: str) -> None:
    """Say what went wrong."""
    note(f"cargohold: {text}")


def trace(failure: BaseException) -> None:
    """Show where in the program a failure came from."""
    traceback.print_exception(failure, file=sys.stderr)
