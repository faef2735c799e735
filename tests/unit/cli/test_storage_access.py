"""Who may change a storage with commands, while a server writes to it."""

import os
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cargohold

_COMMANDS = (
    "gc", "gc --dry-run", "prune --force", "prune --dry-run", "retention --force", "scrub", "fsck", "restore a:1",
    "reindex", "storage expire", "tag a:1 a:2", "rmi a:1",
)  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes what others cannot")
@pytest.mark.parametrize("command", _COMMANDS)
def test_root_leaves_nothing_in_the_storage_of_another_user(cargohold: Cargohold, tmp_path: Path, command: str) -> None:
    """After `sudo cargohold gc` the server could not write into the directory of intents: each push failed."""
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", 1234, 1234)

    ended = cargohold(*command.split(), "--root", tmp_path / "data")

    assert ended.code == 2
    assert "belongs to user 1234" in ended.err
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes what others cannot")
def test_root_copies_nothing_into_the_storage_of_another_user(cargohold: Cargohold, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", 1234, 1234)

    ended = cargohold("storage", "copy", tmp_path, tmp_path / "data")

    assert ended.code == 2
    assert "belongs to user 1234" in ended.err
    assert list((tmp_path / "data").iterdir()) == []
