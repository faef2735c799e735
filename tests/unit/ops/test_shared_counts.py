"""The directory in which workers count together: made, locked, removed, and swept up after servers that were killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from registry.ops import shared_counts as module
from registry.ops.shared_counts import DIRECTORY_VARIABLE, shared_counts

_OTHER = """
import os, sys
from registry.ops import shared_counts as module
module._MEMORY = sys.argv[1]
with module.shared_counts():
    child = os.fork()
    if not child:
        sys.stdin.read()
        os._exit(0)
    print(os.environ[module.DIRECTORY_VARIABLE], flush=True)
    os.waitpid(child, 0)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "_MEMORY", str(tmp_path))
    return tmp_path


def _aged(directory: Path) -> Path:
    os.utime(directory, (0, 0))
    return directory


def test_it_lasts_as_long_as_it_is_counted_in(place: Path) -> None:
    with shared_counts():
        [directory] = place.iterdir()
        assert os.environ[DIRECTORY_VARIABLE] == str(directory)
    assert DIRECTORY_VARIABLE not in os.environ
    assert list(place.iterdir()) == []


def test_what_a_killed_server_left_goes_when_the_next_one_starts_and_not_while_a_worker_lives(place: Path) -> None:
    command = [sys.executable, "-c", _OTHER, str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        _aged(left)
        other.kill()
        other.wait()
        with shared_counts():
            assert left.is_dir(), "its worker still counts there"
        other.stdin.close()
        assert other.stdout.read() == "", "the worker has ended, too"

    with shared_counts():
        assert not left.exists()


def test_what_is_young_or_not_a_directory_of_ours_stays(place: Path) -> None:
    young, elsewhere, other = place / "cargohold-counts-young", place / "elsewhere", place / "other"
    for directory in (young, elsewhere, other):
        directory.mkdir()
    link = place / "cargohold-counts-link"
    link.symlink_to(elsewhere)
    (elsewhere / "file").touch()
    _aged(elsewhere)
    _aged(other)

    with shared_counts():
        pass

    assert sorted(place.iterdir()) == sorted([young, elsewhere, other, link])
    assert (elsewhere / "file").exists()
