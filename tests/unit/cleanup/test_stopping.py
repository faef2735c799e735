"""A cleanup that is stopped: the next one need not wait for it, nor anybody who pushes."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

import pytest

from registry.cleanup.filters import Filters
from registry.cleanup.fsck import Fsck
from registry.cleanup.fsck import Options as FsckOptions
from registry.cleanup.gc import Collection, Options
from registry.cleanup.image_removal import ImageRemoval
from registry.cleanup.image_removal import Options as RemovalOptions
from registry.cleanup.prune import Prune
from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.immutable_tags import nothing
from registry.content.leases import Collector, Leases, collector_state, storage_time
from registry.content.repository import Registry, Rules
from storage_backends.base import StorageBackend
from storage_backends.errors import Unavailable
from storage_backends.memory import MemoryBackend
from tests.unit.cleanup.conftest import Clock
from tests.unit.cleanup.pushing import APP, collect, manifests, push
from tests.unit.content.pouring import Poured
from tests.unit.content.stepping import SteppingBackend

pytestmark = pytest.mark.anyio
_BLOB = b"nobody needs this"
_DIGEST = Digest.of(_BLOB)
Run = Callable[[StorageBackend], AsyncGenerator[object, None]]


def _collection(backend: StorageBackend) -> AsyncGenerator[object, None]:
    return Collection(backend, Options(grace=-1), "a test").run()


def _removal(backend: StorageBackend) -> AsyncGenerator[object, None]:
    return ImageRemoval(
        backend, Prune(backend, Filters(), nothing, -1, every=False), RemovalOptions(-1), "a test"
    ).run()


async def _fsck(backend: StorageBackend) -> AsyncGenerator[object, None]:
    yield await Fsck(backend, FsckOptions(grace=-1, repair=True), "a test", await storage_time(backend)).run()


@pytest.fixture(params=[_collection, _removal])
def run(request: pytest.FixtureRequest) -> Run:
    """What works under the collector's lease."""
    found: Run = request.param
    return found


@pytest.fixture
async def stepping(clock: Clock) -> SteppingBackend:
    """A registry with a blob that nobody needs, and an image that has no tag."""
    found = SteppingBackend(MemoryBackend(clock.time))
    registry = Registry(found, Rules())
    await push(registry, None, b"a layer")
    await registry.uploads.push(APP, _DIGEST, Poured(_BLOB))
    clock.let_grace_pass()
    return found


async def _to_the_end(steps: AsyncGenerator[object, None]) -> None:
    async for _ in steps:
        pass


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def _is_free(backend: StorageBackend) -> bool:
    state = await collector_state(backend)
    left = await backend.list(keyspace.CONDEMNED)
    return not state.at_work and state.outcome == "stopped" and not left.entries


@pytest.mark.parametrize("verb", ["children", "stat"])
async def test_whoever_is_cancelled_while_it_looks_gives_the_lease_back(
    stepping: SteppingBackend, run: Run, verb: str
) -> None:
    begun = stepping.stop_before("put", keyspace.COLLECTOR)
    task = asyncio.create_task(_to_the_end(run(stepping)))
    await begun.reached.wait()
    stop = stepping.stop_before(verb, "repositories/")
    begun.go_on.set()
    await stop.reached.wait()

    await _cancelled(task)

    assert await _is_free(stepping)
    await collect(stepping)


async def test_whoever_is_cancelled_while_it_takes_the_lease_gives_it_back(stepping: SteppingBackend, run: Run) -> None:
    stop = stepping.stop_before("put", keyspace.COLLECTOR)
    task = asyncio.create_task(_to_the_end(run(stepping)))
    await stop.reached.wait()

    task.cancel()
    await asyncio.sleep(0)
    stop.go_on.set()
    await _cancelled(task)

    assert await _is_free(stepping)


async def test_whoever_is_closed_gives_the_lease_back(stepping: SteppingBackend, run: Run) -> None:
    steps = run(stepping)
    await anext(steps)
    assert (await collector_state(stepping)).at_work

    await steps.aclose()

    assert await _is_free(stepping)


@pytest.mark.parametrize(
    ("steps", "verb", "key", "digest"),
    [
        (_collection, "delete_many", "layers/", _DIGEST),
        (_collection, "delete_many", keyspace.BLOBS, _DIGEST),
        (_removal, "delete_many", "revisions/", None),
        (_fsck, "delete_many", "layers/", _DIGEST),
    ],
)
async def test_a_removal_that_has_begun_ends_before_a_claim_is_given_up(
    stepping: SteppingBackend, steps: Run, verb: str, key: str, digest: Digest | None
) -> None:
    """Else a push would be told that what is still being removed stays."""
    if steps is _fsck:
        await stepping.delete(keyspace.blob(_DIGEST))
    wanted = digest or next(iter(await manifests(stepping)))
    stop = stepping.stop_before(verb, key)
    task = asyncio.create_task(_to_the_end(steps(stepping)))
    await stop.reached.wait()
    task.cancel()
    push_again = asyncio.create_task(Leases(stepping, 3600).rely([wanted]))
    await asyncio.sleep(0.1)
    assert (await collector_state(stepping)).at_work
    assert not push_again.done()

    stop.go_on.set()
    await _cancelled(task)

    await push_again
    assert await _is_free(stepping)
    assert not (await stepping.list(keyspace.blob(_DIGEST))).entries or steps is _removal
    assert wanted not in await manifests(stepping)


async def test_where_a_removal_is_broken_off_the_lease_runs_out_by_itself(
    stepping: SteppingBackend, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """A storage that gives no answer may still do what it was asked for."""

    async def fail(_: object, *, durable: bool) -> None:
        raise Unavailable("no answer")

    collected = run(stepping)
    claim = Collector.claim

    async def claim_and_fail(self: Collector, shard: str, count: int) -> frozenset[str]:
        found = await claim(self, shard, count)
        monkeypatch.setattr(stepping, "delete_many", fail)
        return found

    monkeypatch.setattr(Collector, "claim", claim_and_fail)
    with pytest.raises(Unavailable):
        await _to_the_end(collected)
    monkeypatch.undo()

    assert (await collector_state(stepping)).at_work


async def test_where_the_storage_fails_before_anything_was_claimed_the_lease_is_given_back(
    stepping: SteppingBackend, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    async def fail(_: object, _shard: str, _names: object) -> None:
        raise Unavailable("no answer")

    monkeypatch.setattr(Collector, "condemn", fail)
    with pytest.raises(Unavailable):
        await _to_the_end(run(stepping))

    assert await _is_free(stepping)


async def test_who_finds_another_one_at_work_takes_nothing_from_it(stepping: SteppingBackend, run: Run) -> None:
    await Collector(stepping, "another", 300).begin(await storage_time(stepping))

    with pytest.raises(Exception, match="by another"):
        await _to_the_end(run(stepping))

    state = await collector_state(stepping)
    assert (state.holder, state.at_work) == ("another", True)
