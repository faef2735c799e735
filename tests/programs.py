"""Finds the programs that some tests drive, and says what to do where one is missing.

On a developer's machine a test without its program is skipped with a reason; with CARGOHOLD_TEST_REQUIRE_ALL=1, as CI
sets it, it fails instead, so that nothing is ever left out unnoticed.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE_ALL = "CARGOHOLD_TEST_REQUIRE_ALL"


def find(program: str) -> str | None:
    """The path of a program, on PATH or where `go install` puts it."""
    go_bin = os.environ.get("GOBIN") or str(Path(os.environ.get("GOPATH") or Path.home() / "go") / "bin")
    return shutil.which(program) or shutil.which(program, path=go_bin)


def need(program: str) -> str:
    """The path of a program; without it the test is skipped, or fails where everything is required."""
    path = find(program)
    if path is None:
        leave_out(f"{program} is not installed")
    return path


def leave_out(reason: str) -> NoReturn:
    """End the test: skipped with this reason, or failed where everything is required."""
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{reason}, and {REQUIRE_ALL}=1 asks for every test")
    pytest.skip(reason)
