"""A list of images in a file, as `cargohold lists` prints it, for the commands that take one."""

import sys
from pathlib import Path

from registry.cli.failure import MISUSED, Failure


def read_list(file: Path) -> list[str]:
    """What stands in the lines of `--from-file`, without comments; `-` is standard input. Raises `Failure`."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"--from-file {file} cannot be read: {error}", MISUSED) from error
    return [words for line in text.splitlines() if (words := line.partition("#")[0].strip())]
