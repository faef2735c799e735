"""A storage that was copied: each image is as old as it was, and what cleans up there takes what it took before."""

from collections.abc import Mapping

import pytest

from registry.cleanup import inventory
from registry.cleanup.filters import Filters
from registry.cleanup.prune import Prune
from registry.cleanup.restore import Restorer, choose
from registry.cleanup.retaining import Retaining
from registry.cleanup.retention import Keep, Policy
from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.immutable_tags import nothing
from registry.content.pull_times import PullTimes
from registry.content.repository import Registry, Rules
from registry.content.storage_copy import StorageCopy
from registry.name_patterns import NamePattern
from storage_backends.errors import Unavailable
from storage_backends.memory import MemoryBackend
from tests.unit.breaking_backend import BreakingBackend
from tests.unit.cleanup.conftest import DAY, Clock
from tests.unit.cleanup.pushing import APP, collect, gone, manifests, push, remove

pytestmark = pytest.mark.anyio


@pytest.fixture
def target(clock: Clock) -> BreakingBackend:
    return BreakingBackend(clock.time)


@pytest.fixture
async def images(registry: Registry, clock: Clock) -> list[Digest]:
    """Three images, each ten days younger than the one before, ten days ago."""
    found = []
    for number in range(3):
        found.append(await push(registry, f"v{number}", b"%d" % number))
        clock.pass_days(10)
    return found


async def copy(source: MemoryBackend, target: MemoryBackend, jobs: int = 4) -> int:
    """One run; how many objects it has written."""
    work = StorageCopy(source, target, jobs)
    await work.run()
    return work.progress.copied


async def pushed(backend: MemoryBackend) -> Mapping[Digest, float]:
    """When each image was pushed."""
    return {image.digest: image.pushed for image in (await inventory.read(backend, APP)).images.values()}


def newest(count: int, backend: MemoryBackend, grace: float = -1) -> Retaining:
    policy = Policy("newest", [NamePattern("**")], keep=[Keep(newest=count)])
    return Retaining(backend, [policy], nothing, grace, acts=lambda _: True, tell=lambda *_: None)


@pytest.mark.usefixtures("images")
async def test_push_times_survive_copies_of_copies_also_where_times_are_whole_seconds(
    backend: MemoryBackend, target: MemoryBackend, clock: Clock
) -> None:
    bucket = MemoryBackend(lambda: float(int(clock.time())))
    times = await pushed(backend)

    await copy(backend, bucket)
    clock.pass_days(5)
    await copy(bucket, target)

    assert await pushed(bucket) == times
    assert await pushed(target) == times


async def test_the_newest_of_a_copy_are_those_of_the_original(
    backend: MemoryBackend, target: MemoryBackend, images: list[Digest], clock: Clock
) -> None:
    await copy(backend, target)
    await target.delete(keyspace.revision_link(APP, images[0]))
    clock.pass_days(1)
    await copy(backend, target)  # now the youngest link is that of the oldest image

    assert gone(await remove(target, newest(1, target))) == set(images[:2])


async def test_what_is_pushed_again_at_the_target_is_as_young_as_that_push_whatever_is_copied_then(
    backend: MemoryBackend, target: MemoryBackend, images: list[Digest], clock: Clock
) -> None:
    await copy(backend, target)
    clock.pass_days(5)
    await push(Registry(target, Rules()), "again", b"0")
    now = clock.now

    for _ in range(2):
        assert (await pushed(target))[images[0]] == pytest.approx(now, abs=1)
        assert (await pushed(target))[images[1]] == (await pushed(backend))[images[1]]
        clock.pass_days(1)
        assert await copy(backend, target) == 0


async def test_what_was_pushed_at_the_target_alone_or_before_the_copy_keeps_its_time(
    backend: MemoryBackend, target: MemoryBackend, images: list[Digest], clock: Clock
) -> None:
    own = Registry(target, Rules())
    await push(own, "v0", b"0")
    await push(own, "other", b"other")
    times = await pushed(target)
    clock.pass_days(1)
    await copy(backend, target)

    assert {digest: (await pushed(target))[digest] for digest in times} == times
    assert set(await pushed(target)) == times.keys() | set(images)


async def test_a_push_at_the_source_after_the_first_copy_is_brought_by_the_next(
    backend: MemoryBackend, registry: Registry, target: MemoryBackend, images: list[Digest], clock: Clock
) -> None:
    await push(Registry(target, Rules()), "v1", b"1")
    await copy(backend, target)
    clock.pass_days(5)
    await push(registry, "again", b"0")
    await push(registry, "again", b"1")
    clock.pass_days(5)
    await copy(backend, target)

    assert await pushed(target) == await pushed(backend)
    assert (await pushed(target))[images[1]] > (await pushed(target))[images[2]]


async def stopped(source: MemoryBackend, clock: Clock, room: int) -> BreakingBackend | None:
    """A target of which a copy was stopped after so many objects; None if it came to its end."""
    target = BreakingBackend(clock.time)
    target.room = room
    try:
        await copy(source, target, jobs=1)
    except Unavailable:
        target.room = 1000
        return target
    return None


@pytest.mark.usefixtures("images")
async def test_a_copy_that_was_stopped_anywhere_and_is_run_again_brings_all_push_times(
    backend: MemoryBackend, clock: Clock
) -> None:
    times = await pushed(backend)
    rooms = 0
    while (target := await stopped(backend, clock, rooms)) is not None:
        clock.pass_days(5)
        await copy(backend, target)
        assert await pushed(target) == times, f"stopped after {rooms} objects"
        rooms += 1
    assert rooms == 2 + 3 * 8, "a config and its link; of each image two blobs and four links, and the record twice"


async def test_an_image_that_is_pushed_after_its_copy_was_stopped_is_as_young_as_the_push(
    backend: MemoryBackend, images: list[Digest], clock: Clock
) -> None:
    rooms = 0
    while (target := await stopped(backend, clock, rooms)) is not None:
        clock.pass_days(1)
        await push(Registry(target, Rules()), "v0", b"0")
        now = clock.now
        clock.pass_days(1)
        await copy(backend, target)
        assert (await pushed(target))[images[0]] == pytest.approx(now, abs=1), f"stopped after {rooms} objects"
        rooms += 1


@pytest.mark.parametrize("record", [b"", b"yesterday", b"nan 1", b"1 inf", b"1 2 3", b"\xff", b"12", b"1 12"])
async def test_a_record_that_says_nothing_of_the_link_does_not_count(
    backend: MemoryBackend, images: list[Digest], record: bytes
) -> None:
    times = await pushed(backend)
    await backend.put(keyspace.pushed(APP, images[0]), record)
    assert await pushed(backend) == times


async def test_no_record_makes_an_image_younger_than_itself(
    backend: MemoryBackend, target: MemoryBackend, images: list[Digest], clock: Clock
) -> None:
    await copy(backend, target)
    link = await target.stat(keyspace.revision_link(APP, images[0]))
    await target.put(keyspace.pushed(APP, images[0]), b"99999999999 %d" % link.modified)
    assert (await pushed(target))[images[0]] <= clock.now


async def test_what_was_copied_a_moment_ago_stays_for_the_grace_period(
    backend: MemoryBackend, registry: Registry, target: MemoryBackend, images: list[Digest], clock: Clock
) -> None:
    dangling = await push(registry, None, b"dangling")
    clock.pass_days(10)
    await copy(backend, target)
    grace = Rules().grace_seconds

    async def taken() -> set[Digest]:
        found = gone(await remove(target, Prune(target, Filters(), nothing, grace), dry_run=True))
        return found | gone(await remove(target, newest(1, target, grace), dry_run=True))

    assert await taken() == set()
    clock.let_grace_pass()
    assert await taken() == {dangling, *images[:2]}


async def test_garbage_collection_removes_records_of_images_that_are_gone_but_none_before_its_image_comes(
    backend: MemoryBackend, target: BreakingBackend, images: list[Digest], clock: Clock
) -> None:
    grace = Rules().grace_seconds
    await copy(backend, target)
    await Registry(target, Rules()).delete_manifest(APP, images[0])
    records = keyspace.pushes(APP)
    clock.let_grace_pass()
    alone = keyspace.media_type(APP, Digest.of(b"to come"))
    await target.put(alone, b"application/x")
    await target.put(keyspace.pushed(APP, Digest.of(b"to come")), b"1")
    await collect(target, grace)
    left = {Digest.of(b"to come"), *images[1:]}
    assert {f"{records}sha256/{digest.encoded}" for digest in left} == set((await target.list(records)).entries)
    assert (await target.get(alone)).data == b"application/x"

    clock.let_grace_pass()
    await collect(target, grace)
    assert len((await target.list(records)).entries) == 2
    assert alone not in (await target.list(keyspace.OWN)).entries


async def test_an_image_that_is_restored_is_as_young_as_that(
    backend: MemoryBackend, target: MemoryBackend, images: list[Digest], clock: Clock
) -> None:
    await copy(backend, target)
    clock.now += 10
    await Registry(target, Rules()).delete_manifest(APP, images[0])
    restorer = Restorer(target, Rules(), nothing)
    found = await restorer.of(APP)
    assert [one.there async for one in restorer.restore(choose(found, images[0]), found)] == [True]

    assert await manifests(target) == set(images)
    assert (await pushed(target))[images[0]] == pytest.approx(clock.now, abs=1)


async def test_pulls_count_as_of_the_copy_and_later_ones_are_brought_by_the_next_run(
    backend: MemoryBackend, registry: Registry, target: MemoryBackend, images: list[Digest], clock: Clock
) -> None:
    registry.pulls.note(APP, images[0])
    await registry.pulls.write()
    clock.pass_days(10)
    await copy(backend, target)
    pulls = PullTimes(target)
    assert await pulls.last(APP, images[0]) == pytest.approx(clock.now, abs=1)
    assert await copy(backend, target) == 0

    clock.pass_days(60)
    later = Registry(backend, Rules())
    later.pulls.note(APP, images[0])
    await later.pulls.write()
    await copy(backend, target)
    assert clock.now - await pulls.last(APP, images[0]) < DAY
