"""Comparing a storage before and after sees what it should: many tests rest on it."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.content.keyspace import SCRATCH
from tests.wire import tree
from tests.wire.tree import Storage, snapshot


def test_the_snapshot_sees_what_it_should(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").write_bytes(b"x")
    assert snapshot(tmp_path) == {"a/b/c": b"x"}
    (tmp_path / "a/b/c").write_bytes(b"y")
    assert snapshot(tmp_path) == {"a/b/c": b"y"}


@pytest.mark.parametrize("change", [Path.unlink, Path.touch, lambda file: file.write_bytes(b"y")])
@pytest.mark.parametrize("name", ["docker/link", "cargohold/v1/uploads/a"])
def test_what_is_made_changed_or_removed_is_seen(tmp_path: Path, name: str, change: Callable[[Path], object]) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    if change is not Path.touch:
        file.write_bytes(b"x")

    with pytest.raises(AssertionError, match=name), Storage(tmp_path).unchanged():
        change(file)


def test_what_a_server_writes_by_itself_may_come_and_go_but_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / SCRATCH
    scratch.mkdir(parents=True)
    (scratch / "gone").touch()
    going = threading.Timer(0.1, (scratch / "going").unlink)
    with Storage(tmp_path).unchanged():
        (scratch / "gone").unlink()
        (scratch / "going").touch()
        going.start()
    going.join()

    monkeypatch.setattr(tree, "_PASSING_SECONDS", 0.1)
    with pytest.raises(AssertionError, match="left"), Storage(tmp_path).unchanged():
        (scratch / "left").touch()
