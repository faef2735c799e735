"""The command line, run within the test's own process."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from registry.cli.main import run
from tests.live_server import LiveServer, live_server
from tests.unit.cli import shelf


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


@pytest.fixture(scope="session")
def shelf_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A running registry with what `shelf` has, which tests only look at."""
    directory = tmp_path_factory.mktemp("shelf")
    shelf.fill(directory / "data")
    with live_server(directory) as running:
        yield running


@pytest.fixture(name="shelf")
def shelf_of_our_own(shelf_server: LiveServer, tmp_path: Path) -> Path:
    """A storage with what `shelf` has, which the test may change."""
    return Path(shutil.copytree(shelf_server.root, tmp_path / "data"))


@pytest.fixture(params=["storage", "registry"])
def at(request: pytest.FixtureRequest, shelf_server: LiveServer) -> tuple[str, ...]:
    """The options that say where to look: at the same images on a storage and on a registry."""
    return ("--root", str(shelf_server.root)) if request.param == "storage" else ("--url", shelf_server.address)
