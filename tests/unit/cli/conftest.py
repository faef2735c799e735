"""The command line, run within the test's own process."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from registry.cli.main import run


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Cargohold = Callable[..., Ended]


@pytest.fixture
def cargohold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cargohold:
    """Run `cargohold ARGUMENTS` in an empty directory, with no settings in the environment."""
    for name in [name for name in os.environ if name.startswith("CARGOHOLD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["cargohold", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            run()
        printed = capsys.readouterr()
        assert isinstance(exited.value.code, int)
        return Ended(exited.value.code, printed.out, printed.err)

    return call
