"""SIGKILL at every step of a push, a deletion and a collection: the next collection leaves nothing without use."""

import os
from pathlib import Path

import pytest

from registry.cleanup.gc import Collection, Options
from registry.content import catalog, keyspace, paging
from registry.content.digest import Digest
from registry.content.leases import collector_state
from registry.content.manifest_store import ManifestStore
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.filesystem import FilesystemBackend
from tests.faults.steps import Work, kill_at_every_step
from tests.unit.content.documents import encoded, image
from tests.unit.content.pouring import Poured

pytestmark = pytest.mark.usefixtures("quick_disk")
_APP = RepositoryName.parse("team/app")
_CONFIG, _LAYER = b"{}", b"a layer"
_IMAGE = encoded(image(_CONFIG, [_LAYER]))
_DIGEST = Digest.of(_IMAGE)
_RULES = Rules(grace_seconds=0)


async def _push(root: Path) -> None:
    registry = Registry(FilesystemBackend(root), _RULES)
    for data in (_CONFIG, _LAYER):
        await registry.uploads.push(_APP, Digest.of(data), Poured(data))
    await registry.put_manifest(_APP, Tag("latest"), _IMAGE, None)


async def _delete(root: Path) -> None:
    await Registry(FilesystemBackend(root), _RULES).delete_manifest(_APP, _DIGEST)


async def _collect(root: Path) -> None:
    """Everything that was done before is old, intents that killed pushes have left and the lease of a killed collector
    as well.
    """
    backend = FilesystemBackend(root)
    await backend.delete_many([key async for key in paging.keys(backend, keyspace.INTENTS)])
    if (await collector_state(backend)).at_work:
        os.utime(root / keyspace.COLLECTOR, (1, 1))
    async for _ in Collection(backend, Options(grace=-1), "a test").run():
        pass


async def _assert_nothing_is_left(root: Path) -> None:
    backend = FilesystemBackend(root)
    if await ManifestStore(backend).has(_APP, _DIGEST):
        await _delete(root)
        await _collect(root)
    assert [key async for key in paging.keys(backend, keyspace.BLOBS)] == []
    assert [key async for key in paging.keys(backend, keyspace.REPOSITORIES)] == []
    assert (await catalog.repositories(backend, "", 10)).names == ()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("before", "work"), [((), _push), ((_push,), _delete), ((_push, _delete), _collect)], ids=["push", "delete", "gc"]
)
def test_what_is_killed_anywhere_leaves_nothing_behind(tmp_path: Path, before: tuple[Work, ...], work: Work) -> None:
    assert kill_at_every_step(tmp_path, before, work, [_collect, _assert_nothing_is_left], 200) >= 5


async def test_a_dry_run_leaves_also_names_of_nothing(tmp_path: Path) -> None:
    """Another registry may be about to put something there."""
    places = (keyspace.revision_link(_APP, _DIGEST), keyspace.layer_link(_APP, _DIGEST), keyspace.blob(_DIGEST))
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True)

    async for _ in Collection(FilesystemBackend(tmp_path), Options(grace=-1, dry_run=True), "a test").run():
        pass

    assert all((tmp_path / place).parent.is_dir() for place in places)
