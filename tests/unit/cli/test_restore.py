"""`cargohold restore`: what it lists and brings back, and how it says that it cannot."""

import asyncio
import json
from pathlib import Path

import pytest

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.filesystem import FilesystemBackend
from tests.unit.cli.conftest import Cargohold
from tests.unit.content.documents import encoded, image, index
from tests.unit.content.pouring import Poured

_APP = RepositoryName.parse("team/app")
_IMAGE = encoded(image(b"{}", [b"a layer"]))
_OTHER = encoded(index())
_DIGEST = Digest.of(_IMAGE)


def _registry(root: Path) -> Registry:
    return Registry(FilesystemBackend(root, scratch=keyspace.SCRATCH), Rules())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A registry in which an image with two tags was deleted."""

    async def prepare() -> None:
        registry = _registry(tmp_path / "data")
        for data in (b"{}", b"a layer"):
            await registry.uploads.push(_APP, Digest.of(data), Poured(data))
        await registry.put_manifest(_APP, _DIGEST, _IMAGE, None, [Tag("v1"), Tag("v2")])
        await registry.delete_manifest(_APP, _DIGEST)

    asyncio.run(prepare())
    return tmp_path / "data"


def _named(root: Path, tag: str) -> bytes:
    return asyncio.run(_registry(root).get_manifest(_APP, Tag(tag))).data


def test_what_can_be_restored_is_listed_with_until_when(cargohold: Cargohold, root: Path) -> None:
    shown = cargohold("restore", "--list", "--root", root)
    assert shown.code == 0
    head, row = shown.out.splitlines()
    assert head.split() == ["REPOSITORY", "TAGS", "DIGEST", "DELETED", "RESTORABLE", "UNTIL"]
    assert row.split()[:4] == ["team/app", "v1,", "v2", str(_DIGEST)]

    [found] = json.loads(cargohold("restore", "team/app", "--list", "--json", "--root", root).out)
    assert (found["repository"], found["digest"], found["tags"]) == ("team/app", str(_DIGEST), ["v1", "v2"])
    assert found["deleted"] < found["until"]


def test_an_image_comes_back_after_a_dry_run_has_said_so(cargohold: Cargohold, root: Path) -> None:
    dry = cargohold("restore", "team/app:v1", "--dry-run", "--root", root)
    assert dry.out == f"Would restore: team/app:v1, team/app@{_DIGEST}\n"
    assert len(json.loads(cargohold("restore", "--list", "--json", "--root", root).out)) == 1

    done = cargohold("restore", f"team/app@{_DIGEST}", "--json", "--root", root)
    [row] = json.loads(done.out)["images"]
    assert (done.code, row["restored"], row["tags"], row["refused"]) == (0, True, ["v1", "v2"], [])
    assert (_named(root, "v1"), _named(root, "v2")) == (_IMAGE, _IMAGE)
    assert cargohold("restore", "--list", "--root", root).out.count("\n") == 1


def test_a_tag_that_was_pushed_again_is_left_alone_and_named(cargohold: Cargohold, root: Path) -> None:
    asyncio.run(_registry(root).put_manifest(_APP, Tag("v1"), _OTHER, None))

    done = cargohold("restore", "team/app", "--root", root)

    assert done.code == 1
    assert done.out == f"Restored: team/app:v2, team/app@{_DIGEST}\n"
    assert f"not restored: team/app:v1 names {Digest.of(_OTHER)} by now" in done.err
    assert "--force moves tags" in done.err
    assert (_named(root, "v1"), _named(root, "v2")) == (_OTHER, _IMAGE)

    assert cargohold("restore", "team/app:v1", "--force", "--root", root).code == 0
    assert _named(root, "v1") == _IMAGE


def test_after_garbage_collection_without_grace_it_is_too_late_and_said_so(cargohold: Cargohold, root: Path) -> None:
    assert cargohold("gc", "--grace", "0", "--root", root, "--quiet").code == 0

    done = cargohold("restore", "team/app:v1", "--root", root)

    assert done.code == 1
    assert "nothing that was deleted as team/app:v1 can be restored" in done.err
    assert "collection has taken it" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "say what to restore"),
        (["team/app:v9"], 1, "nothing that was deleted as team/app:v9"),
        (["nowhere"], 1, "nothing that was deleted as nowhere"),
        (["../app"], 2, "'..' is not a host"),
        (["team/../app"], 2, "not a repository name"),
        (["team/app:"], 2, "is not a tag"),
        (["team/app:.."], 2, "is not a tag"),
        (["team%2fapp"], 2, "not a repository name"),
        (["team/app@sha256:1"], 2, "sha256:1"),
        ([f"team/app:v1@{_DIGEST}"], 2, "write REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST"),
        (["example.com/team/app:v1"], 2, "of this storage"),
    ],
)
def test_wrong_arguments_are_named(
    cargohold: Cargohold, root: Path, arguments: list[str], code: int, message: str
) -> None:
    done = cargohold("restore", "--root", root, *arguments)
    assert done.code == code
    assert message in done.err
    assert done.out == ""


def test_a_storage_that_is_not_there_is_named(cargohold: Cargohold) -> None:
    done = cargohold("restore", "--list", "--root", "nowhere")
    assert done.code == 2
    assert "nowhere is not there" in done.err
