"""SIGKILL at every step of a deletion and of a restoration: what was deleted comes back whole, collected or not."""

import os
from pathlib import Path

import pytest

from registry.cleanup.gc import Collection, Options
from registry.cleanup.restore import Restorer, choose
from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.errors import ManifestUnknown
from registry.content.immutable_tags import nothing
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.filesystem import FilesystemBackend
from tests.faults.steps import Work, kill_at_every_step
from tests.unit.content.documents import descriptor, encoded, image
from tests.unit.content.pouring import Poured

pytestmark = pytest.mark.usefixtures("quick_disk")
_APP = RepositoryName.parse("team/app")
_CONFIG, _LAYER, _SUBJECT = b"{}", b"a layer", b"subject"
_IMAGE = encoded(image(_CONFIG, [_LAYER], subject=descriptor(_SUBJECT)))
_DIGEST = Digest.of(_IMAGE)
_TAGS = [Tag("v1"), Tag("v2")]


def _backend(root: Path) -> FilesystemBackend:
    return FilesystemBackend(root, scratch=keyspace.SCRATCH)


async def _push(root: Path) -> None:
    registry = Registry(_backend(root), Rules())
    for data in (_CONFIG, _LAYER):
        await registry.uploads.push(_APP, Digest.of(data), Poured(data))
    await registry.put_manifest(_APP, _DIGEST, _IMAGE, None, _TAGS)


async def _delete(root: Path) -> None:
    await Registry(_backend(root), Rules()).delete_manifest(_APP, _DIGEST)


async def _delete_tag(root: Path) -> None:
    await Registry(_backend(root), Rules()).delete_tag(_APP, _TAGS[0])


async def _restore(root: Path) -> None:
    restorer = Restorer(_backend(root), Rules(), nothing)
    known = await restorer.of(_APP)
    async for restored in restorer.restore(choose(known, None), known):
        assert not restored.refused


async def _collect(root: Path) -> None:
    """As a server does; the links to blobs are so old that they protect nothing."""
    for data in (_CONFIG, _LAYER):
        os.utime(root / keyspace.layer_link(_APP, Digest.of(data)), (1, 1))
        os.utime(root / keyspace.blob(Digest.of(data)), (1, 1))
    os.utime(root / keyspace.blob(_DIGEST), (1, 1))
    async for _ in Collection(_backend(root), Options(), "a test").run():
        pass


def _kill_at_every_step(root: Path, before: list[Work], work: Work) -> int:
    """Kill `work` at each step in turn, collect, and restore: everything is there again. How many steps it has."""
    return kill_at_every_step(root, before, work, [_collect, _restore, _collect, _assert_whole], 100)


async def _assert_whole(root: Path) -> None:
    registry = Registry(_backend(root), Rules())
    for tag in _TAGS:
        assert (await registry.get_manifest(_APP, tag)).data == _IMAGE
    for data in (_CONFIG, _LAYER):
        assert await registry.blobs.has(_APP, Digest.of(data))
    page = await registry.referrers(_APP, Digest.of(_SUBJECT), None, "", 10)
    assert [entry["digest"] for entry in page.descriptors] == [str(_DIGEST)]
    assert await Restorer(_backend(root), Rules(), nothing).of(_APP) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("deletion", [_delete, _delete_tag])
def test_a_deletion_that_is_killed_anywhere_can_be_undone(tmp_path: Path, deletion: Work) -> None:
    assert _kill_at_every_step(tmp_path, [_push], deletion) > 5


@pytest.mark.timeout(300)
def test_a_restoration_that_is_killed_anywhere_can_be_done_again(tmp_path: Path) -> None:
    assert _kill_at_every_step(tmp_path, [_push, _delete], _restore) > 10


async def test_what_was_deleted_is_gone_in_between(tmp_path: Path) -> None:
    for work in (_push, _delete, _collect):
        await work(tmp_path)

    with pytest.raises(ManifestUnknown):
        await Registry(_backend(tmp_path), Rules()).get_manifest(_APP, _DIGEST)
