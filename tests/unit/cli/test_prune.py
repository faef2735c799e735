"""`cargohold prune`: what it says, what it asks, and how it ends."""

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest
import typer

from config.units import format_size
from registry.content import keyspace
from registry.content.leases import Collector, storage_time
from storage_backends.filesystem import FilesystemBackend
from tests.unit.cli.conftest import Cargohold
from tests.unit.cli.filled import filled


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def links(root: Path) -> int:
    """How many manifests are there."""
    return len(list(root.glob(f"{keyspace.revisions('team/app')}sha256/*/link")))


def used(root: Path) -> int:
    """Bytes of all blobs."""
    return sum(file.stat().st_size for file in (root / keyspace.BLOBS).rglob("data"))


def test_dangling_images_go_in_dockers_words_after_a_dry_run_has_said_so(cargohold: Cargohold, root: Path) -> None:
    _, dangling = filled(root, "latest", None)

    dry = cargohold("prune", "--root", root, "--dry-run")
    assert dry.code == 0
    assert re.fullmatch(
        rf"Would delete Images:\ndeleted: team/app@{dangling}\n\nTotal reclaimable space: \d+B\n", dry.out
    )
    assert links(root) == 2

    done = cargohold("prune", "--root", root, "--force")
    assert re.fullmatch(
        rf"Deleted Images:\ndeleted: team/app@{dangling}\n\n"
        r"Total reclaimed space: \d+B with the first garbage collection after the grace period\n",
        done.out,
    )
    assert links(root) == 1
    assert cargohold("prune", "--root", root, "--force").out == "Total reclaimed space: 0B\n"


def test_all_takes_tags_too_and_gc_frees_what_was_stated(cargohold: Cargohold, root: Path) -> None:
    [old] = filled(root, "old", hours=100)
    before = used(root)

    done = cargohold("prune", "--root", root, "--all", "--filter", "until=2d", "--force", "--gc")

    assert f"untagged: team/app:old\ndeleted: team/app@{old}\n" in done.out
    assert f"Total reclaimed space: {format_size(before)}\n" in done.out
    assert used(root) == 0
    assert not list(root.glob("docker/registry/v2/repositories/*"))


def test_the_result_is_there_for_programs(cargohold: Cargohold, root: Path) -> None:
    [old] = filled(root, "old", hours=100)

    found = json.loads(
        cargohold("prune", "--root", root, "--filter", "dangling=false", "--filter", "until=2d", "-f", "--json").out
    )

    assert found["images"] == [{"repository": "team/app", "digest": old, "untagged": ["old"], "deleted": True}]
    assert found["reclaimed"] == used(root)
    assert (found["dry_run"], found["gc"], found["notes"]) == (False, None, [])


def test_why_nothing_goes_for_want_of_records_is_said(cargohold: Cargohold, root: Path) -> None:
    filled(root, "old", hours=100)
    words = ("prune", "--root", root, "--all", "--dry-run", "--filter")
    assert "pulls are noted since" in cargohold(*words, "until=101h").err
    (root / keyspace.PULLS_SINCE).unlink()
    told = cargohold(*words, "until=1h")
    assert "no server of this version has noted yet what is pulled" in told.err
    assert told.out == "Total reclaimable space: 0B\n"


def test_it_asks_and_takes_no_for_an_answer(cargohold: Cargohold, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(root, None)
    asked = []

    def confirm(text: str, *, err: bool) -> bool:
        asked.append((text, err))
        return len(asked) > 1

    monkeypatch.setattr(typer, "confirm", confirm)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)

    refused = cargohold("prune", "--root", root)
    assert refused.code == 1
    assert "WARNING! This will remove all dangling images." in refused.err
    assert links(root) == 1
    assert cargohold("prune", "--root", root).code == 0
    assert links(root) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--all"], 2, "say since when nobody has used them, --filter until=30d"),
        (["--all", "--filter", "until=1d", "--filter", "dangling=true"], 2, "contradict each other"),
        (["--filter", "dangling=false"], 2, "--filter until=30d"),
        (["--filter", "size=3"], 2, "--filter 'size=3' is no filter; there are until="),
        (["--filter", "until=soon"], 2, "--filter until=soon: write how long ago"),
        (["--grace", "soon", "--force"], 2, "--grace: write a duration"),
        ([], 2, "there is no terminal to ask: say --force, or look first with --dry-run"),
        (["--root", "nowhere", "--force"], 2, "nowhere is not there"),
    ],
)
def test_wrong_arguments_are_named(
    cargohold: Cargohold, root: Path, arguments: list[str], code: int, message: str
) -> None:
    filled(root, None)
    done = cargohold("prune", "--root", root, *arguments)
    assert done.code == code
    assert message in done.err
    assert links(root) == 1


def test_a_second_one_is_told_who_is_at_work(cargohold: Cargohold, root: Path) -> None:
    filled(root, None)

    async def begin() -> None:
        backend = FilesystemBackend(root, scratch=keyspace.SCRATCH)
        await Collector(backend, "process 1 on example", 300).begin(await storage_time(backend))

    asyncio.run(begin())
    done = cargohold("prune", "--root", root, "--force")
    assert done.code == 1
    assert "by process 1 on example" in done.err
    assert links(root) == 1


def test_ctrl_c_at_the_question_is_ctrl_c(cargohold: Cargohold, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(root, None)

    def interrupt(_: str, *, err: bool) -> bool:
        raise typer.Abort  # what typer makes of it

    monkeypatch.setattr(typer, "confirm", interrupt)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)

    done = cargohold("prune", "--root", root)

    assert (done.code, done.err.splitlines()[-1]) == (130, "cargohold: stopped; nothing was removed")
    assert links(root) == 1


def test_how_old_images_must_be_says_nothing_of_how_long_they_can_be_restored(cargohold: Cargohold, root: Path) -> None:
    [dangling] = filled(root, None)
    command = ("prune", "--force", "--grace", "0")

    assert f"deleted: team/app@{dangling}" in cargohold(*command, "--root", root).out

    assert cargohold("restore", "--root", root, f"team/app@{dangling}").code == 0
    assert links(root) == 1
    assert cargohold(*command, "--gc", "--root", root).code == 0
    assert cargohold("restore", "--root", root, f"team/app@{dangling}").code == 1
