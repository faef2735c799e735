"""Garbage collection on demand: one at a time, and what is told of it."""

import pytest

from registry.cleanup.gc import Collection, Options
from registry.cleanup.on_demand import OnDemand
from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.leases import Collector, CollectorBusy, storage_time
from storage_backends.memory import MemoryBackend

pytestmark = pytest.mark.anyio


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


async def test_it_is_asked_for_once_until_it_is_done(backend: MemoryBackend) -> None:
    demand = OnDemand(backend, 300)
    assert (await demand.status())["state"] == "idle"

    assert (await demand.begin())["state"] == "starting"
    with pytest.raises(CollectorBusy):
        await demand.begin()
    demand.asked.clear()
    assert (await demand.begin())["state"] == "starting"


async def test_another_process_at_work_is_told_of_with_its_progress_until_it_is_taken_for_dead(
    backend: MemoryBackend,
) -> None:
    collector = Collector(backend, "process 7 on example", 0.0, lambda: {"manifests": 12})
    await collector.begin(await storage_time(backend))
    await collector.beat()

    status = await OnDemand(backend, 300).status()
    assert status["state"] == "running"
    assert isinstance(status["collector"], dict)
    assert (status["collector"]["holder"], status["collector"]["progress"]) == (
        "process 7 on example",
        {"manifests": 12},
    )
    with pytest.raises(CollectorBusy, match="by process 7 on example"):
        await OnDemand(backend, 300).begin()

    assert (await OnDemand(backend, 0).status())["state"] == "interrupted"
    assert (await OnDemand(backend, 0).begin())["state"] == "interrupted"


async def test_what_came_of_the_last_one_is_told_until_the_next(backend: MemoryBackend) -> None:
    await backend.put(f"{keyspace.BLOBS}sha256/00/{'00' * 32}/data", b"nobody needs this")

    async for _ in Collection(backend, Options(grace=-1), "a test").run():
        pass

    last = (await OnDemand(backend, 300).status())["last"]
    assert isinstance(last, dict)
    assert (last["outcome"]["stage"], last["outcome"]["removed_blobs"], last["outcome"]["freed"]) == ("done", 1, 17)


async def test_what_another_version_has_left_is_no_mistake(backend: MemoryBackend) -> None:
    await backend.put(keyspace.COLLECTOR, b'["process 1", false, 1.0, 2, "done"]')

    assert await OnDemand(backend, 300).status() == {"state": "idle", "collector": None, "last": None}


async def test_what_every_push_reads_stays_small_however_much_there_is_to_note(backend: MemoryBackend) -> None:
    for number in range(300):
        revision = keyspace.revision_link(f"team/app-{number}", Digest.of(b"gone"))
        await backend.put(revision, str(Digest.of(b"gone")).encode())
    work = Collection(backend, Options(grace=-1, lease=0), "a test")  # so short that each step is told

    sizes = [len((await backend.get(keyspace.COLLECTOR)).data) async for _ in work.run()]

    assert len(work.collected.notes) == 300
    assert max(sizes) < 1000
    last = (await OnDemand(backend, 300).status())["last"]
    assert isinstance(last, dict)
    assert len(last["outcome"]["notes"]) == 100
