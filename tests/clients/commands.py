"""Runs a client program and keeps what it said. Knows processes; must not know any client's options."""

import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COMMAND_SECONDS = 120.0


class CommandFailed(AssertionError):
    """A client did not do what the test needs; the message holds its whole output."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a program left behind."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams, one after the other."""
        return self.out + self.err


def run(
    *command: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: Path | None = None,
    fails: bool | None = False,
    seconds: float = COMMAND_SECONDS,
) -> Result:
    """Run a program to its end, at most `seconds`; raise `CommandFailed` unless it succeeds.

    With `fails` it has to fail instead; with `fails=None` either is right.
    """
    words = [str(word) for word in command]
    with open(stdin or os.devnull, "rb") as source:
        done = subprocess.run(
            words,
            stdin=source,
            capture_output=True,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            timeout=seconds,
            check=False,
        )
    result = Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
    if fails is not None and (result.code != 0) != fails:
        raise CommandFailed(f"{shlex.join(words)}\nended with {result.code}\n{result.text}")
    return result
