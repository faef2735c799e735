"""What a scrub finds, what it takes away, and what it never does."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from registry.cleanup.mend import Holder
from registry.cleanup.pace import Rate
from registry.cleanup.scrub import Options, Scrub, Scrubbed, State
from registry.cleanup.scrub_turn import Position, ScrubBusy, Turn, TurnLost, is_due, load
from registry.content import keyspace, paging
from registry.content.digest import Digest
from registry.content.errors import BlobUnknown, PlaceUnavailable
from registry.content.names import RepositoryName, Tag
from registry.content.places import OpenBlob
from registry.content.repository import Registry, Rules
from storage_backends.base import ObjectInfo, StorageBackend
from storage_backends.errors import StorageFull, Unavailable
from storage_backends.filesystem import FilesystemBackend
from storage_backends.memory import MemoryBackend
from storage_backends.sendable import ByteStream, FileRegion
from tests.images import Image, random_image
from tests.unit.cleanup.test_gc import push
from tests.unit.content.pouring import Poured
from tests.unit.content.stepping import SteppingBackend
from tests.unit.mirror.places import MemoryPlace

pytestmark = pytest.mark.anyio
_CONFIG, _LAYER = b"{}", b"a layer"
_WRONG = b"A layer"
_DIGEST = Digest.of(_LAYER)
_APP = RepositoryName.parse("team/app")
_NOW = 1000.0


@pytest.fixture(params=["memory", "filesystem"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> StorageBackend:
    if request.param == "memory":
        return MemoryBackend()
    return FilesystemBackend(tmp_path, scratch=keyspace.SCRATCH)


@pytest.fixture
def registry(backend: StorageBackend) -> Registry:
    return Registry(backend, Rules())


async def scrub(backend: StorageBackend, options: Options | None = None, source: Holder | None = None) -> Scrubbed:
    """One whole scrub."""
    return await Scrub(backend, options or Options(), "a test", source).run(_NOW)


async def spoil(backend: StorageBackend, digest: Digest, data: bytes = _WRONG) -> None:
    """Let the bytes of a blob be others."""
    await backend.put(keyspace.blob(digest), data)


async def contents(backend: StorageBackend) -> dict[str, bytes]:
    """Everything that lies there, but whose turn it is."""
    found = {key async for key in paging.keys(backend, "")} - {keyspace.SCRUB}
    return {key: (await backend.get(key)).data for key in found if not key.startswith(keyspace.SCRATCH)}


def states(scrubbed: Scrubbed) -> dict[Digest, State]:
    """What became of what was found."""
    return {damage.digest: damage.state for damage in scrubbed.damaged}


async def test_what_is_right_is_left_alone(backend: StorageBackend, registry: Registry) -> None:
    await push(registry, _APP, "latest", _LAYER)
    before = await contents(backend)

    found = await scrub(backend)

    assert (found.blobs, found.damaged, found.stage) == (3, [], "done")
    assert found.size == sum(len(data) for key, data in before.items() if key.startswith(keyspace.BLOBS))
    assert await contents(backend) == before


@pytest.mark.parametrize("data", [_WRONG, b"", _LAYER[:-1], _LAYER + b"\0"], ids=["flipped", "empty", "short", "long"])
async def test_wrong_bytes_go_into_quarantine_and_the_images_are_named(
    backend: StorageBackend, registry: Registry, data: bytes
) -> None:
    digest = await push(registry, _APP, "latest", _LAYER)
    await push(registry, RepositoryName("other"), "1", b"something else")
    await spoil(backend, _DIGEST, data)

    [damage] = (await scrub(backend)).damaged

    assert (damage.digest, damage.state, damage.size, damage.hurts) == (_DIGEST, "quarantined", len(data), True)
    assert damage.images == [f"team/app:latest@{digest}"]
    assert (await backend.get(keyspace.quarantined(_DIGEST))).data == data
    with pytest.raises(BlobUnknown):
        await registry.blobs.open(_APP, _DIGEST)


async def test_who_pushes_again_mends(backend: StorageBackend, registry: Registry) -> None:
    await push(registry, _APP, "latest", _LAYER)
    before = await contents(backend)
    await spoil(backend, _DIGEST)
    await scrub(backend)

    await push(registry, _APP, "latest", _LAYER)
    found = await scrub(backend)

    assert states(found) == {_DIGEST: "replaced"}
    assert not found.damaged[0].hurts
    assert await contents(backend) == before


async def test_a_damaged_manifest_is_taken_away_and_its_tag_named(backend: StorageBackend, registry: Registry) -> None:
    digest = await push(registry, _APP, "latest", _LAYER)
    await spoil(backend, digest)

    [damage] = (await scrub(backend)).damaged

    assert damage.images == [f"team/app:latest@{digest}"]
    assert await push(registry, _APP, "latest", _LAYER) == digest


async def test_a_dry_run_only_tells(backend: StorageBackend, registry: Registry) -> None:
    await push(registry, _APP, "latest", _LAYER)
    await spoil(backend, _DIGEST)
    before = await contents(backend)

    [damage] = (await scrub(backend, Options(dry_run=True))).damaged

    assert (damage.state, damage.hurts, len(damage.images)) == ("in place", True, 1)
    assert await contents(backend) == before
    assert (await backend.list(keyspace.SCRUB)).entries == ()


async def test_only_the_chosen_repositories_are_read(backend: StorageBackend, registry: Registry) -> None:
    await push(registry, _APP, "latest", _LAYER)
    await push(registry, RepositoryName("other"), "latest", b"something else")
    await spoil(backend, Digest.of(b"something else"))

    assert (await scrub(backend, Options(repositories=["team/*"]))).damaged == []
    found = await scrub(backend, Options(repositories=["oth*"]))

    assert (found.blobs, states(found)) == (3, {Digest.of(b"something else"): "quarantined"})


class Pushing(MemoryBackend):
    """A storage in which somebody pushes the right bytes just before `at` happens to the blob."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    async def _push(self, call: str) -> None:
        if call == self.at:
            self.at = ""
            await self.put(keyspace.blob(_DIGEST), _LAYER)

    async def copy(self, source: str, target: str) -> None:
        await self._push("copy")
        await super().copy(source, target)

    async def stat(self, key: str) -> ObjectInfo:
        found = await super().stat(key)
        if key == keyspace.blob(_DIGEST):
            await self._push("stat")
        return found

    async def delete(self, key: str, *, if_match: str | None = None, durable: bool = True) -> None:
        if key == keyspace.blob(_DIGEST):
            await self._push("delete")
        await super().delete(key, if_match=if_match, durable=durable)


@pytest.mark.parametrize("moment", ["stat", "copy", "delete"])
async def test_a_push_at_the_same_moment_wins(moment: str) -> None:
    backend = Pushing("")
    await push(Registry(backend, Rules()), _APP, "latest", _LAYER)
    await spoil(backend, _DIGEST)
    backend.at = moment

    found = await scrub(backend)

    assert backend.at == ""
    assert found.damaged == []
    assert (await backend.get(keyspace.blob(_DIGEST))).data == _LAYER
    assert (await backend.list(keyspace.QUARANTINE)).entries == ()


class SameTag(Pushing):
    """A bucket whose entity tag stays that of the right bytes when they rot."""

    async def delete(self, key: str, *, if_match: str | None = None, durable: bool = True) -> None:
        await super().delete(key, if_match=None, durable=durable)


async def test_a_push_wins_also_where_versions_do_not_tell_rotten_bytes_from_right_ones() -> None:
    backend = SameTag("")
    await push(Registry(backend, Rules()), _APP, "latest", _LAYER)
    await spoil(backend, _DIGEST)
    backend.at = "copy"

    assert (await scrub(backend)).damaged == []
    assert (await backend.get(keyspace.blob(_DIGEST))).data == _LAYER


async def test_a_blob_that_goes_meanwhile_is_no_damage() -> None:
    class Going(MemoryBackend):
        async def copy(self, source: str, target: str) -> None:
            await super().copy(source, target)
            await self.delete(source)

    backend = Going()
    await spoil(backend, _DIGEST)

    assert (await scrub(backend)).damaged == []
    assert (await backend.list(keyspace.QUARANTINE)).entries == ()


async def test_without_room_for_a_copy_it_stays_and_is_told() -> None:
    class Full(MemoryBackend):
        async def copy(self, source: str, target: str) -> None:
            raise StorageFull("no space left")

    backend = Full()
    await spoil(backend, _DIGEST)

    [damage] = (await scrub(backend)).damaged

    assert (damage.state, damage.hurts) == ("in place", True)
    assert "no space left" in damage.reason


async def test_a_blob_that_a_bucket_does_not_give_stays_and_the_others_are_read() -> None:
    class Lost(MemoryBackend):
        async def open_read(self, key: str, start: int = 0, length: int | None = None) -> ByteStream:
            if key == keyspace.blob(_DIGEST):
                raise Unavailable("it breaks off again and again")
            return await super().open_read(key, start, length)

    backend = Lost()
    await push(Registry(backend, Rules()), _APP, "latest", _LAYER)

    found = await scrub(backend)

    assert (found.blobs, states(found)) == (3, {_DIGEST: "in place"})
    assert "it breaks off again and again" in found.damaged[0].reason


async def test_a_blob_that_a_disk_does_not_give_stays_and_the_others_are_read(tmp_path: Path) -> None:
    class Lost(FilesystemBackend):
        async def open_read(self, key: str, start: int = 0, length: int | None = None) -> FileRegion:
            if key != keyspace.blob(_DIGEST):
                return await super().open_read(key, start, length)
            return FileRegion(os.open("/proc/self/mem", os.O_RDONLY), 0, 10, 10)  # reads of page 0 fail with EIO

    backend = Lost(tmp_path, scratch=keyspace.SCRATCH)
    await push(Registry(backend, Rules()), _APP, "latest", _LAYER)

    found = await scrub(backend)

    assert (found.blobs, states(found)) == (3, {_DIGEST: "in place"})
    assert "Input/output error" in found.damaged[0].reason
    assert await Registry(backend, Rules()).blobs.has(_APP, _DIGEST)


async def test_what_a_place_has_is_mended(backend: StorageBackend, registry: Registry) -> None:
    image = random_image(seed=1)
    place = MemoryPlace()
    place.add("team/app", image, "latest")
    await push_image(registry, image)
    before = await contents(backend)
    layer, manifest = Digest.parse(image.layers[0].digest), Digest.parse(image.manifest.digest)
    await spoil(backend, layer)
    await spoil(backend, manifest)

    found = await scrub(backend, source=place)

    assert states(found) == {layer: "mended", manifest: "mended"}
    assert await contents(backend) == before


async def test_what_was_taken_away_by_an_earlier_scrub_is_mended_too(
    backend: StorageBackend, registry: Registry
) -> None:
    image = random_image(seed=1)
    place = MemoryPlace()
    place.add("team/app", image, "latest")
    await push_image(registry, image)
    before = await contents(backend)
    await spoil(backend, Digest.parse(image.layers[0].digest))

    assert set(states(await scrub(backend)).values()) == {"quarantined"}
    assert set(states(await scrub(backend)).values()) == {"quarantined"}
    assert set(states(await scrub(backend, source=place)).values()) == {"mended"}

    assert await contents(backend) == before


async def test_a_place_that_lies_or_has_nothing_or_is_down_mends_nothing(
    backend: StorageBackend, registry: Registry
) -> None:
    class Lying(MemoryPlace):
        @asynccontextmanager
        async def blob(self, name: RepositoryName, digest: Digest, start: int = 0) -> AsyncIterator[OpenBlob]:
            async def blocks() -> AsyncIterator[bytes]:
                while True:
                    yield b"x" * 1000

            yield OpenBlob(5000, blocks())

    class Down(MemoryPlace):
        def blob(self, name: RepositoryName, digest: Digest, start: int = 0) -> NoReturn:
            raise PlaceUnavailable("the place is down")

    await push(registry, _APP, "latest", _LAYER)
    await spoil(backend, _DIGEST)
    empty = MemoryPlace()
    empty.add("team/app", random_image(seed=2))

    for place in (Lying(), empty):
        assert states(await scrub(backend, source=place)) == {_DIGEST: "quarantined"}
    [damage] = (await scrub(backend, source=Down())).damaged

    assert "the place is down" in damage.reason
    assert not await registry.blobs.has(_APP, _DIGEST)


async def push_image(registry: Registry, image: Image) -> None:
    """Push what `tests.images` makes."""
    for blob in image.blobs:
        await registry.uploads.push(_APP, Digest.parse(blob.digest), Poured(blob.data))
    await registry.put_manifest(_APP, Tag("latest"), image.manifest.data, image.manifest.media_type)


class Breaking(MemoryBackend):
    """A storage that fails when it has been read `left` more times."""

    left = 1000

    async def open_read(self, key: str, start: int = 0, length: int | None = None):  # type: ignore[no-untyped-def]
        self.left -= 1
        if self.left < 0:
            raise Unavailable("the storage is gone")
        return await super().open_read(key, start, length)

    async def stat(self, key: str) -> ObjectInfo:
        if self.left < 0:
            raise Unavailable("the storage is gone")
        return await super().stat(key)


async def test_a_stopped_scrub_goes_on_from_there() -> None:
    backend = Breaking()
    for number in range(10):
        data = b"%d" % number
        await backend.put(keyspace.blob(Digest.of(data)), data)
    backend.left = 6
    with pytest.raises(Unavailable):
        await scrub(backend, Options(lease=0.001))

    backend.left = 4
    found = await scrub(backend)

    assert (found.blobs, found.resumed, backend.left) == (10, True, 0)
    backend.left = 10
    assert not (await scrub(backend)).resumed


async def test_begun_anew_it_reads_everything() -> None:
    backend = Breaking()
    for number in range(10):
        data = b"%d" % number
        await backend.put(keyspace.blob(Digest.of(data)), data)
    backend.left = 6
    with pytest.raises(Unavailable):
        await scrub(backend, Options(lease=0.001))

    backend.left = 10
    found = await scrub(backend, Options(anew=True))

    assert (found.blobs, found.resumed) == (10, False)


async def test_one_at_a_time_and_after_a_killed_one_another(backend: StorageBackend) -> None:
    turn = Turn(backend, "one", 300)
    now = (await stored_now(backend)) + 1
    await turn.begin(now, anew=False)
    other = Turn(backend, "another", 300)

    with pytest.raises(ScrubBusy, match="by one"):
        await other.begin(now, anew=False)
    await other.begin(now + 400, anew=False)

    with pytest.raises(TurnLost):
        await turn.end(done=True)
    await other.end(done=True)


async def stored_now(backend: StorageBackend) -> float:
    """The storage's time."""
    await backend.put("probe", b"")
    return (await backend.stat("probe")).modified


async def test_two_that_begin_at_once_are_one(backend: StorageBackend) -> None:
    turns = [Turn(backend, str(number), 300) for number in range(4)]
    now = await stored_now(backend)

    begun = await asyncio.gather(*(turn.begin(now, anew=False) for turn in turns), return_exceptions=True)

    assert sum(isinstance(one, ScrubBusy) for one in begun) == 3


async def test_when_one_is_due(backend: StorageBackend) -> None:
    assert not await is_due(backend, 1000, 300)
    assert not await is_due(backend, 1000, 300)
    assert await is_due(backend, 0, 300)

    turn = Turn(backend, "a test", 300)
    await turn.begin(await stored_now(backend), anew=False)
    assert not await is_due(backend, 0, 300)
    assert await is_due(backend, 1000, 0)

    await turn.beat(Position("a test", at_work=True, after=str(_DIGEST)))
    await turn.end(done=False)
    assert await is_due(backend, 1000, 300)
    assert load(await backend.get(keyspace.SCRUB)).after == str(_DIGEST)


async def test_a_scrub_of_some_repositories_puts_off_none_of_everything(
    backend: StorageBackend, registry: Registry
) -> None:
    await push(registry, _APP, "latest", _LAYER)
    await scrub(backend)
    position = load(await backend.get(keyspace.SCRUB))
    assert not await is_due(backend, 1000, 300)
    await backend.put(keyspace.SCRUB, replace(position, done=position.done - 1000).dump())

    for anew in (False, True):
        await scrub(backend, Options(repositories=["team/*"], anew=anew))
        assert await is_due(backend, 1000, 300)
    await scrub(backend)
    assert not await is_due(backend, 1000, 300)


async def test_what_an_older_version_wrote_counts_from_when_it_was_written(backend: StorageBackend) -> None:
    await backend.put(keyspace.SCRUB, b'["someone", false, 1.0, 7, "", 3, 4]')

    assert not await is_due(backend, 1000, 300)
    assert await is_due(backend, 0, 300)


async def test_the_rate_is_kept_and_idle_time_is_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += max(seconds, 0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    rate = Rate(100, lambda: now[0])
    for _ in range(10):
        await rate.took(50)
    assert now[0] == 5

    now[0] = 60
    await rate.took(100)
    assert now[0] == 61
    await Rate(0, lambda: now[0]).took(10**9)
    assert now[0] == 61


async def test_what_another_scrub_takes_out_of_quarantine_ends_no_scrub(backend: StorageBackend) -> None:
    stepping = SteppingBackend(backend)
    key = keyspace.quarantined(_DIGEST)
    await backend.put(key, _WRONG)
    stop = stepping.stop_before("stat", key)

    run = asyncio.create_task(scrub(stepping))
    await stop.reached.wait()
    await backend.delete(key)
    stop.go_on.set()

    assert states(await run) == {}
