"""A registry is copied whole, in an order that never shows what is not there, and only once."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.names import RepositoryName, Tag
from registry.content.storage_copy import StorageCopy
from storage_backends.base import ObjectInfo
from storage_backends.errors import Unavailable
from storage_backends.memory import MemoryBackend
from storage_backends.sendable import FileRegion
from tests.unit.breaking_backend import BreakingBackend

pytestmark = pytest.mark.anyio
_NAME = RepositoryName.parse("team/app")
_BLOB, _MANIFEST = b"a layer" * 1000, b"{}"
_DIGEST, _MANIFEST_DIGEST = Digest.of(_BLOB), Digest.of(_MANIFEST)
_TAG = keyspace.tag_current(_NAME, Tag("latest"))
_OBJECTS = {
    keyspace.blob(_DIGEST): _BLOB,
    keyspace.blob(_MANIFEST_DIGEST): _MANIFEST,
    keyspace.layer_link(_NAME, _DIGEST): str(_DIGEST).encode(),
    keyspace.revision_link(_NAME, _MANIFEST_DIGEST): str(_MANIFEST_DIGEST).encode(),
    keyspace.tag_index(_NAME, Tag("latest"), _MANIFEST_DIGEST): str(_MANIFEST_DIGEST).encode(),
    _TAG: str(_MANIFEST_DIGEST).encode(),
    keyspace.media_type(_NAME, _MANIFEST_DIGEST): b"application/x",
    f"{keyspace.AUTH}accounts": b"{}",
}
_LEFT_OUT = {
    f"{keyspace.UPLOADS}one": b"half",
    f"{keyspace.SCRATCH}/x": b"scratch",
    keyspace.COLLECTOR: b"[]",
    keyspace.fetching(_DIGEST): b"somewhere 1",
    keyspace.quarantined(_DIGEST): b"wrong",
    keyspace.SCRUB: b"[]",
    keyspace.SYNC: b"at work 1",
    f"{keyspace.REPOSITORIES}team/app/_uploads/1/data": b"half",
}


@pytest.fixture
async def source() -> MemoryBackend:
    backend = MemoryBackend()
    await backend.put_many([*_OBJECTS.items(), *_LEFT_OUT.items()])
    return backend


async def _contents(backend: MemoryBackend) -> dict[str, bytes]:
    """Everything but what a copy notes of pushes, for itself."""
    keys = [key for key in (await backend.list("")).entries if "/_pushed/" not in key]
    return {key: (await backend.get(key)).data for key in keys}


async def test_everything_but_what_is_under_way_is_copied(source: MemoryBackend) -> None:
    target = MemoryBackend()
    copy = StorageCopy(source, target, jobs=3)
    await copy.count()
    await copy.run()
    await copy.verify()

    assert await _contents(target) == _OBJECTS
    progress = copy.progress
    assert (progress.objects, progress.objects_done, progress.copied) == (8, 8, 8)
    assert progress.size == progress.size_done == progress.size_copied == len(_BLOB) + len(_MANIFEST)
    assert (progress.verified, progress.failed) == (2, [])


async def test_sizes_that_become_known_at_the_same_time_all_count(
    source: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = asyncio.Barrier(2)
    stat = source.stat

    async def together(key: str) -> ObjectInfo:
        await both.wait()
        return await stat(key)

    monkeypatch.setattr(source, "stat", together)
    copy = StorageCopy(source, MemoryBackend(), jobs=2)
    await copy.count()

    assert copy.progress.size == len(_BLOB) + len(_MANIFEST)


async def test_what_is_needed_comes_before_what_needs_it(source: MemoryBackend) -> None:
    target = BreakingBackend()
    await StorageCopy(source, target, jobs=1).run()

    record = keyspace.pushed(_NAME, _MANIFEST_DIGEST)
    kinds = ["blobs/", "cargohold/", "_layers/", "revisions/", "index/", "current/"]
    found = [next(kind for kind in kinds if kind in key) for key in target.order if key != record]
    assert sorted(found, key=kinds.index) == found
    assert target.order[-1] == _TAG
    assert target.order.count(record) == 2, "before its link and after it"


async def test_a_manifest_is_not_shown_while_a_layer_of_it_is_on_its_way(source: MemoryBackend) -> None:
    class SlowWithLayers(MemoryBackend):
        async def put(self, key: str, data: bytes, **how: Any) -> None:
            if "/_layers/" in key:
                for _ in range(100):
                    await asyncio.sleep(0)
            elif "/revisions/" in key:
                assert layer in (await self.list("")).entries
            await super().put(key, data, **how)

    layer = keyspace.layer_link(_NAME, _DIGEST)
    target = SlowWithLayers()
    await StorageCopy(source, target, jobs=8).run()
    assert await _contents(target) == _OBJECTS


@pytest.mark.parametrize("room", range(10))
async def test_a_copy_that_was_stopped_goes_on_and_shows_nothing_unfinished(source: MemoryBackend, room: int) -> None:
    target = BreakingBackend(room=room)
    with pytest.raises(Unavailable):
        await StorageCopy(source, target, jobs=1).run()
    assert _TAG not in await _contents(target)

    target.room, done = 1000, len(await _contents(target))
    again = StorageCopy(source, target, jobs=4)
    await again.run()
    assert again.progress.copied == 8 - done
    assert await _contents(target) == _OBJECTS


async def test_a_second_run_brings_what_is_new_and_what_has_moved(source: MemoryBackend) -> None:
    target = MemoryBackend()
    await StorageCopy(source, target, jobs=3).run()
    await source.put(_TAG, str(_DIGEST).encode())
    new = Digest.of(b"new")
    await source.put(keyspace.blob(new), b"new")

    again = StorageCopy(source, target, jobs=3)
    await again.run()
    assert again.progress.copied == 2
    assert (await target.get(_TAG)).data == str(_DIGEST).encode()


async def test_damaged_bytes_are_named_and_not_copied(source: MemoryBackend) -> None:
    await source.put(keyspace.blob(_DIGEST), b"A" + _BLOB[1:])
    target = MemoryBackend()
    copy = StorageCopy(source, target, jobs=3)
    await copy.run()

    assert [item.key for item in copy.progress.failed] == [keyspace.blob(_DIGEST)]
    assert "damaged" in copy.progress.failed[0].reason
    assert set(_OBJECTS) - set(await _contents(target)) == {keyspace.blob(_DIGEST)}


class _FailingDisk(MemoryBackend):
    """One blob cannot be read."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    async def open_read(self, key: str, start: int = 0, length: int | None = None) -> Any:
        if key != keyspace.blob(_DIGEST):
            return await super().open_read(key, start, length)
        return FileRegion(os.open(self._root, os.O_RDONLY), 0, len(_BLOB), len(_BLOB))  # a directory has no bytes


async def test_what_a_disk_does_not_give_is_named_and_stops_nothing_else(tmp_path: Path) -> None:
    source, target = _FailingDisk(tmp_path), MemoryBackend()
    await source.put_many(list(_OBJECTS.items()))
    copy = StorageCopy(source, target, jobs=3)
    await copy.run()
    back = StorageCopy(target, source, jobs=3)
    await target.put(keyspace.blob(_DIGEST), _BLOB)
    await back.verify()

    for progress in (copy.progress, back.progress):
        [failed] = progress.failed
        assert failed.key == keyspace.blob(_DIGEST)
        assert "cannot be read" in failed.reason
    assert set(_OBJECTS) <= set(await _contents(target))


async def test_damage_at_the_target_is_found_by_a_check(source: MemoryBackend) -> None:
    target = MemoryBackend()
    copy = StorageCopy(source, target, jobs=3)
    await copy.run()
    await target.put(keyspace.blob(_DIGEST), b"A" + _BLOB[1:])
    await target.delete(keyspace.blob(_MANIFEST_DIGEST))
    await copy.verify()

    assert sorted(item.key for item in copy.progress.failed) == sorted(
        [keyspace.blob(_DIGEST), keyspace.blob(_MANIFEST_DIGEST)]
    )


async def test_a_dry_run_changes_nothing_and_counts(source: MemoryBackend) -> None:
    target = MemoryBackend()
    copy = StorageCopy(source, target, jobs=3)
    await copy.count()
    await copy.run(dry_run=True)

    assert await _contents(target) == {}
    assert (copy.progress.copied, copy.progress.size_copied) == (8, len(_BLOB) + len(_MANIFEST))


async def test_what_is_deleted_at_the_source_meanwhile_is_left_out(source: MemoryBackend) -> None:
    class Vanishing(MemoryBackend):
        async def stat(self, key: str):  # type: ignore[no-untyped-def]
            await source.delete(key)
            return await super().stat(key)

    target = Vanishing()
    await StorageCopy(source, target, jobs=1).run()
    assert keyspace.blob(_DIGEST) not in await _contents(target)
    assert _TAG in await _contents(target)


async def test_no_more_than_so_many_objects_are_on_their_way(source: MemoryBackend) -> None:
    class Slow(MemoryBackend):
        now = 0
        most = 0

        async def put_many(self, items: Sequence[tuple[str, bytes]]) -> None:
            Slow.now += 1
            Slow.most = max(Slow.most, Slow.now)
            await asyncio.sleep(0)
            Slow.now -= 1
            await super().put_many(items)

    for number in range(20):
        data = b"%d" % number
        await source.put(keyspace.blob(Digest.of(data)), data)
    await StorageCopy(source, Slow(), jobs=3).run()
    assert 1 < Slow.most <= 3
