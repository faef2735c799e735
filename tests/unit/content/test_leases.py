"""The writers' side and the collector's, brought together step by step where the model says that it matters."""

import asyncio
import time

import pytest

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.errors import BlobUnknown
from registry.content.leases import Collector, CollectorBusy, LeaseLost, Leases, Shard, storage_time
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.errors import Unavailable
from storage_backends.memory import MemoryBackend
from tests.unit.content.documents import encoded, image
from tests.unit.content.failing import FailingBackend
from tests.unit.content.pouring import Poured
from tests.unit.content.stepping import SteppingBackend

pytestmark = pytest.mark.anyio
_DATA = b"a blob"
_DIGEST = Digest.of(_DATA)
_SHARD = _DIGEST.encoded[:2]


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


async def collector(backend: MemoryBackend, *condemned: Digest, seconds: float = 300) -> Collector:
    """One at work, that has condemned something."""
    found = Collector(backend, "a test", seconds)
    await found.begin(await storage_time(backend))
    if condemned:
        await found.condemn(_SHARD, map(str, condemned))
    return found


async def test_while_nobody_collects_a_link_is_all_that_is_written(backend: MemoryBackend) -> None:
    await Leases(backend, 3600).link("a/link", _DIGEST)

    assert (await backend.list("")).entries == ("a/link",)


async def test_what_is_condemned_is_saved_by_whoever_needs_it(backend: MemoryBackend) -> None:
    other = Digest("sha256", _SHARD + "0" * 62)
    found = await collector(backend, _DIGEST, other)

    await Leases(backend, 3600).link("a/link", _DIGEST)

    assert await found.claim(_SHARD, 10) == {str(other)}
    assert await found.claim(_SHARD, 10) == frozenset()


async def test_what_was_touched_before_it_was_condemned_is_spared(backend: MemoryBackend) -> None:
    found = await collector(backend)
    await Leases(backend, 3600).rely([_DIGEST])

    await found.condemn(_SHARD, [str(_DIGEST)])

    assert await found.claim(_SHARD, 10) == frozenset()


async def test_who_needs_what_is_going_waits_and_links_anew(backend: MemoryBackend) -> None:
    found = await collector(backend, _DIGEST)
    assert await found.claim(_SHARD, 10)
    stepping = SteppingBackend(backend)
    waiting = stepping.stop_before("get", keyspace.condemned(_SHARD))

    link = asyncio.create_task(Leases(stepping, 3600).link("a/link", _DIGEST))
    await waiting.reached.wait()
    waiting.go_on.set()
    await backend.delete("a/link")
    assert not link.done()
    await found.claim(_SHARD, 10)
    await link

    assert (await backend.get("a/link")).data == str(_DIGEST).encode()


async def test_a_removal_without_an_end_is_an_error_and_no_wait_without_one(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.content.leases._CLAIM_SECONDS", 0.05)
    found = await collector(backend, _DIGEST)
    await found.claim(_SHARD, 10)

    with pytest.raises(Unavailable, match="try again"):
        await Leases(backend, 3600).link("a/link", _DIGEST)


async def test_a_collector_that_lost_its_lease_claims_nothing(backend: MemoryBackend) -> None:
    first = await collector(backend, _DIGEST, seconds=0)
    second = Collector(backend, "the next one", 0)
    await second.begin(await storage_time(backend))

    with pytest.raises(LeaseLost):
        await first.claim(_SHARD, 10)
    with pytest.raises(LeaseLost):
        await first.end("")


async def test_a_collector_that_lost_its_lease_takes_no_claim_from_the_next_one(backend: MemoryBackend) -> None:
    """Writers would take what is going for safe."""
    first = await collector(backend, seconds=0)
    second = Collector(backend, "the next one", 0)
    await second.begin(await storage_time(backend))
    await second.condemn(_SHARD, [str(_DIGEST)])

    with pytest.raises(LeaseLost):
        await first.end("")

    assert Shard.load(await backend.get(keyspace.condemned(_SHARD))).condemned == {str(_DIGEST)}


async def test_of_two_collectors_at_the_same_moment_one_begins(backend: MemoryBackend) -> None:
    now = await storage_time(backend)
    found = await asyncio.gather(
        *(Collector(backend, str(number), 300).begin(now) for number in range(5)), return_exceptions=True
    )
    assert sorted(map(type, found), key=str) == [type(None), *[CollectorBusy] * 4] or found.count(None) == 1


async def test_an_intent_that_was_taken_for_a_dead_ones_is_written_again(
    backend: MemoryBackend, name: RepositoryName
) -> None:
    """The process was stopped in the middle for more than an hour."""
    stepping = SteppingBackend(backend)
    registry = Registry(stepping, Rules())
    await registry.uploads.push(name, _DIGEST, Poured(_DATA))
    data = encoded(image(_DATA))
    stop = stepping.stop_before("put_many", "revisions/")

    push = asyncio.create_task(registry.put_manifest(name, Tag("latest"), data, None))
    await stop.reached.wait()
    [key] = (await backend.list(keyspace.INTENTS)).entries
    await backend.delete(key)
    stop.go_on.set()
    await push

    assert [call for call in stepping.calls if call == ("put", (key,))] == [("put", (key,))] * 2
    assert (await backend.list(keyspace.INTENTS)).entries == ()


async def test_asking_for_a_blob_renews_its_link_when_half_of_its_time_is_over(
    backend: MemoryBackend, name: RepositoryName, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(backend, Rules(grace_seconds=1000))
    await registry.uploads.push(name, _DIGEST, Poured(_DATA))
    key = keyspace.layer_link(name, _DIGEST)
    version = (await backend.stat(key)).version

    await registry.blobs.size(name, _DIGEST, renew=True)
    assert (await backend.stat(key)).version == version
    now = time.time()
    monkeypatch.setattr("registry.content.leases.time.time", lambda: now + 501)
    await registry.blobs.size(name, _DIGEST)
    assert (await backend.stat(key)).version == version
    await registry.blobs.size(name, _DIGEST, renew=True)
    assert (await backend.stat(key)).version != version


async def test_a_link_that_goes_while_it_is_renewed_is_not_said_to_be_there(
    backend: MemoryBackend, name: RepositoryName
) -> None:
    stepping = SteppingBackend(backend)
    registry = Registry(stepping, Rules(grace_seconds=0))
    await registry.uploads.push(name, _DIGEST, Poured(_DATA))
    stop = stepping.stop_before("get", keyspace.COLLECTOR)

    asked = asyncio.create_task(registry.blobs.size(name, _DIGEST, renew=True))
    await stop.reached.wait()
    await backend.delete(keyspace.layer_link(name, _DIGEST))
    stop.go_on.set()

    with pytest.raises(BlobUnknown):
        await asked


async def test_a_storage_that_cannot_be_written_to_still_says_what_is_there(
    name: RepositoryName, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend = FailingBackend()
    registry = Registry(backend, Rules(grace_seconds=0))
    await registry.uploads.push(name, _DIGEST, Poured(_DATA))

    async def full(*_: object, **__: object) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(backend, "put", full)

    assert await registry.blobs.size(name, _DIGEST, renew=True) == len(_DATA)
    assert "cannot be renewed: the disk is full" in caplog.text


async def test_a_collector_that_has_ended_does_not_mind_who_begins_at_this_moment(backend: MemoryBackend) -> None:
    stepping = SteppingBackend(backend)
    ending = Collector(stepping, "one", 300)
    await ending.begin(await storage_time(stepping))
    await ending.end("done")

    assert stepping.calls[-1] == ("put", (keyspace.COLLECTOR,)), "what comes after it may find another one's words"
