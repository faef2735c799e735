"""`cargohold gc`: what it says, and how it ends."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.leases import Collector, storage_time
from registry.content.names import RepositoryName
from storage_backends.filesystem import FilesystemBackend
from tests.unit.cli.conftest import Cargohold

_DATA = b"bytes of a layer"
_KEY = keyspace.blob(Digest.of(_DATA))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A registry with one old blob that nobody needs."""
    found = tmp_path / "data"
    file = found / _KEY
    file.parent.mkdir(parents=True)
    file.write_bytes(_DATA)
    os.utime(file, (1, 1))
    return found


def test_what_nobody_needs_goes_after_a_dry_run_has_said_so(cargohold: Cargohold, root: Path) -> None:
    dry = cargohold("gc", "--root", str(root), "--dry-run")
    assert dry.code == 0
    assert "Would remove 1 of 1 blobs, 0 links" in dry.out
    assert "Total reclaimable space: 16B" in dry.out
    assert (root / _KEY).exists()

    done = cargohold("gc", "--root", str(root))
    assert "Removed 1 of 1 blobs" in done.out
    assert "Total reclaimed space: 16B" in done.out
    assert not (root / _KEY).exists()


def test_grace_keeps_what_is_younger(cargohold: Cargohold, root: Path) -> None:
    os.utime(root / _KEY)
    found = json.loads(cargohold("gc", "--root", str(root), "--grace", "1h", "--json").out)
    assert (found["removed_blobs"], found["freed"], found["blobs"], found["dry_run"]) == (0, 0, 1, False)
    assert (root / _KEY).exists()


def test_why_something_was_kept_is_said(cargohold: Cargohold, root: Path) -> None:
    link = root / keyspace.REPOSITORIES / "team/app/_manifests/revisions/sha256" / ("0" * 64) / "link"
    link.parent.mkdir(parents=True)
    link.write_text("sha256:" + "0" * 64)
    assert "team/app has manifests that are damaged or missing" in cargohold("gc", "--root", str(root)).err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--grace", "soon"], 2, "--grace: write a duration"),
        (["--share", "0"], 2, "greater than or equal to 0.01"),
        (["--root", "nowhere"], 2, "nowhere is not there: name the directory of the data with --root"),
    ],
)
def test_wrong_arguments_are_named(
    cargohold: Cargohold, root: Path, arguments: list[str], code: int, message: str
) -> None:
    done = cargohold("gc", "--root", str(root), *arguments)
    assert done.code == code
    assert message in done.err
    assert (root / _KEY).exists()


def test_a_second_one_is_told_who_is_at_work(cargohold: Cargohold, root: Path) -> None:
    async def begin() -> None:
        backend = FilesystemBackend(root, scratch=keyspace.SCRATCH)
        await Collector(backend, "process 1 on example", 300).begin(await storage_time(backend))

    asyncio.run(begin())
    done = cargohold("gc", "--root", str(root))
    assert done.code == 1
    assert "by process 1 on example" in done.err
    assert "300 s after its last sign" in done.err
    assert (root / _KEY).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", [("gc",), ("prune", "--force"), ("fsck", "--repair")])
def test_after_one_that_was_stopped_the_next_one_goes_on(
    cargohold: Cargohold, root: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], number: int
) -> None:
    dead = keyspace.layer_link(RepositoryName("team/app"), Digest.of(_DATA))
    (root / dead).parent.mkdir(parents=True)
    (root / dead).write_text(str(Digest.of(_DATA)))
    (root / _KEY).unlink()
    os.utime(root / dead, (1, 1))

    async def stop(self: Collector) -> None:
        os.kill(os.getpid(), number)
        await asyncio.sleep(60)

    with monkeypatch.context() as patched:
        patched.setattr(Collector, "read_intents", stop)
        stopped = cargohold(*command, "--root", str(root))

    assert stopped.code == 130
    assert stopped.err.endswith("cargohold: stopped; nothing is half-done, run it again to go on\n")
    assert cargohold("gc", "--root", str(root)).code == 0
