"""The only module that prints. Results go to stdout, everything about the run to stderr."""

import json
import sys
import traceback


def result(text: str) -> None:
    """Print what the user asked for."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def json_result(value: object) -> None:
    """Print what the user asked for, for programs."""
    result(json.dumps(value, indent=2, ensure_ascii=False))


def note(text: str) -> None:
    """Say something about the run."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def error(text: str) -> None:
    """Say what went wrong."""
    note(f"cargohold: {text}")


def trace(failure: BaseException) -> None:
    """Show where in the program a failure came from."""
    traceback.print_exception(failure, file=sys.stderr)
