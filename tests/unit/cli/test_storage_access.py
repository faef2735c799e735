"""Who may change a storage with commands, while a server writes to it."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from registry.content import mediatypes
from registry.content.digest import Digest
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.filesystem import FilesystemBackend
from tests.unit.cli.conftest import Cargohold
from tests.unit.content.documents import descriptor, encoded, image
from tests.unit.content.pouring import Poured

_COMMANDS = (
    "gc", "gc --dry-run", "prune --force", "prune --dry-run", "retention --force", "scrub", "fsck", "restore a:1",
    "reindex", "storage expire", "tag a:1 a:2", "rmi a:1",
)  # fmt: skip
_LOOKING = ("images", "du", "restore --list", "sync a --to registry.lan/backup", "inspect a:1", "bundle inventory")
_POLICY = "retention: {policies: [{name: one, repositories: ['**'], keep: [{newest: 1}]}]}\n"


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
@pytest.mark.parametrize("served", [True, False])
@pytest.mark.parametrize(
    "command", [*_LOOKING, "history a:1", "referrers a:1", "bundle create a:1 -o a.tar", "sync a:1 --to 127.0.0.1:1/b"]
)
def test_what_root_only_looks_at_stays_its_users(
    cargohold: Cargohold, tmp_path: Path, command: str, served: bool
) -> None:
    """After `sudo cargohold referrers` no signature could be pushed, after `sudo cargohold du` some pushes failed."""
    root = tmp_path / "data"
    root.mkdir()
    asyncio.run(_fill(root))
    if not served:  # as another registry has left it
        shutil.rmtree(root / "cargohold")
    for place in (root, *root.rglob("*")):
        os.chown(place, 1234, 1234)

    ended = cargohold(*command.split(), "--root", root)

    assert {place.stat().st_uid for place in (root, *root.rglob("*"))} == {1234}
    assert ended.code == 0 or "belongs to user 1234" in ended.err or "127.0.0.1:1" in ended.err


async def _fill(root: Path) -> None:
    registry = Registry(FilesystemBackend(root), Rules())
    for data in (b"{}", b"a layer"):
        await registry.uploads.push(RepositoryName("a"), Digest.of(data), Poured(data))
    subject = (await registry.put_manifest(RepositoryName("a"), Tag("1"), encoded(image(b"{}")), None)).digest
    signature = image(b"{}", [b"a layer"], subject=descriptor(encoded(image(b"{}")), mediatypes.OCI_MANIFEST))
    assert (await registry.put_manifest(RepositoryName("a"), Tag("2"), encoded(signature), None)).subject == subject


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes what others cannot")
def test_root_copies_nothing_into_the_storage_of_another_user(cargohold: Cargohold, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", 1234, 1234)

    ended = cargohold("storage", "copy", tmp_path, tmp_path / "data")

    assert ended.code == 2
    assert "belongs to user 1234" in ended.err
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("command", [*_COMMANDS, *_LOOKING])
def test_a_storage_that_is_not_there_is_no_empty_one(cargohold: Cargohold, tmp_path: Path, command: str) -> None:
    (tmp_path / "c.yml").write_text(_POLICY)

    ended = cargohold(*command.split(), "--root", "nowhere", "--config", "c.yml")

    assert (ended.code, ended.out) == (2, "")
    assert "nowhere is not there: name the directory of the data with --root, the settings with --config" in ended.err
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("command", [*_COMMANDS, *_LOOKING])
def test_a_mistake_in_a_rule_is_named_with_its_place(cargohold: Cargohold, tmp_path: Path, command: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "c.yml").write_text(
        f"{_POLICY}access:\n  rules:\n    - {{who: bob, repositories: '**', actions: pull}}\n"
    )

    ended = cargohold(*command.split(), "--root", "data", "--config", "c.yml")

    assert (ended.code, ended.out) == (2, "")
    assert "c.yml:4" in ended.err
    assert "bob" in ended.err


@pytest.mark.parametrize("command", ["config show", "images --url registry.invalid"])
def test_what_does_not_ask_the_rules_does_not_mind_a_mistake_in_them(
    cargohold: Cargohold, tmp_path: Path, command: str
) -> None:
    (tmp_path / "c.yml").write_text("access:\n  rules:\n    - {who: bob, repositories: '**', actions: pull}\n")

    assert "bob" not in cargohold(*command.split(), "--config", "c.yml").err
