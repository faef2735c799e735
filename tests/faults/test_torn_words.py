"""A power cut has taken the bytes of what processes tell each other, which is not synced, and has left the names."""

import os
from pathlib import Path

import pytest

from registry.cleanup import due, scrub_turn
from registry.cleanup.gc import Collection
from registry.cleanup.gc import Options as GcOptions
from registry.cleanup.on_demand import OnDemand
from registry.cleanup.scrub import Options, Scrub
from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.leases import Collector, CollectorBusy, storage_time
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.errors import Unavailable
from storage_backends.filesystem import FilesystemBackend
from tests.unit.content.documents import encoded, image
from tests.unit.content.pouring import Poured

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("torn", [b"", bytes(8)], ids=["empty", "zeros"])]
_APP = RepositoryName.parse("team/app")
_CONFIG = b"{}"
_IMAGE = encoded(image(_CONFIG))
_LEASE = 300.0


@pytest.fixture
def backend(tmp_path: Path) -> FilesystemBackend:
    return FilesystemBackend(tmp_path)


async def _push(backend: FilesystemBackend) -> None:
    registry = Registry(backend, Rules())
    await registry.uploads.push(_APP, Digest.of(_CONFIG), Poured(_CONFIG))
    await registry.put_manifest(_APP, Tag("latest"), _IMAGE, None)
    assert (await registry.get_manifest(_APP, Tag("latest"))).data == _IMAGE


async def test_pushes_go_on_and_so_does_the_next_collector_when_the_lease_is_over(
    backend: FilesystemBackend, tmp_path: Path, torn: bytes
) -> None:
    await Collector(backend, "a test", _LEASE).begin(await storage_time(backend))
    await backend.put(keyspace.COLLECTOR, torn)

    await _push(backend)
    with pytest.raises(CollectorBusy):
        await Collector(backend, "the next one", _LEASE).begin(await storage_time(backend))
    assert (await OnDemand(backend, _LEASE).status())["state"] == "running"
    assert not await due.is_due(backend, "gc", 0, _LEASE)

    os.utime(tmp_path / keyspace.COLLECTOR, (1, 1))
    assert await due.is_due(backend, "gc", 1e9, _LEASE)
    async for _ in Collection(backend, GcOptions(), "the next one").run():
        pass
    await _push(backend)
    assert (await OnDemand(backend, _LEASE).status())["state"] == "idle"


async def test_what_was_going_is_not_taken_for_safe(
    backend: FilesystemBackend, monkeypatch: pytest.MonkeyPatch, torn: bytes
) -> None:
    monkeypatch.setattr("registry.content.leases._CLAIM_SECONDS", 0.05)
    await Collector(backend, "a test", _LEASE).begin(await storage_time(backend))
    await backend.put(keyspace.condemned(Digest.of(_CONFIG).encoded[:2]), torn)

    with pytest.raises(Unavailable, match="try again"):
        await _push(backend)


async def test_a_scrub_begins_anew(backend: FilesystemBackend, torn: bytes) -> None:
    await _push(backend)
    await backend.put(keyspace.SCRUB, torn)

    assert not await scrub_turn.is_due(backend, 3600, _LEASE)
    found = await Scrub(backend, Options(), "a test").run(await storage_time(backend))

    assert (found.blobs, found.resumed) == (2, False)


async def test_what_came_of_the_last_collection_is_not_known(backend: FilesystemBackend, torn: bytes) -> None:
    await backend.put(f"{keyspace.LAST_DONE}gc", torn)

    assert await due.last_done(backend, "gc") is None
