"""Removing images while others push, step by step: what was acknowledged stays whole."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence

import pytest

from registry.cleanup.filters import Filters
from registry.cleanup.prune import Prune
from registry.cleanup.removal import Doomed
from registry.cleanup.removal import remove as remove_doomed
from registry.content import keyspace
from registry.content.errors import ManifestUnknown, NameUnknown, ReferencesUnknown
from registry.content.immutable_tags import nothing
from registry.content.leases import Collector, LeaseLost, storage_time
from registry.content.manifests import parse_manifest
from registry.content.names import Tag
from registry.content.repository import Registry, Rules
from storage_backends.base import StorageBackend
from storage_backends.errors import NotFound
from storage_backends.memory import MemoryBackend
from tests.unit.cleanup.conftest import DAY, Clock
from tests.unit.cleanup.pushing import APP, collect, named_manifest, push, push_document, push_index, remove
from tests.unit.content.documents import image
from tests.unit.content.stepping import SteppingBackend

pytestmark = pytest.mark.anyio
_ANEW = Tag("anew")


class World:
    """An index of two platforms with a signature, old and either dangling or under a tag; and what clients may do."""

    def __init__(self, tag: str | None, clock: Clock) -> None:
        self.stepping = SteppingBackend(MemoryBackend(clock.time))
        self.registry = Registry(self.stepping, Rules())
        self._tag = tag

    async def fill(self, clock: Clock) -> None:
        """Push all of it."""
        await self.registry.pulls.write()
        self.children = [await push(self.registry, None, layer) for layer in (b"one", b"two")]
        self.index = await push_index(self.registry, self._tag, *self.children)
        self.signature = await push(self.registry, None, b"signature", subject=named_manifest(self.index))
        self.data = {
            digest: (await self.registry.get_manifest(APP, digest)).data for digest in (*self.children, self.index)
        }
        self.registry = Registry(self.stepping, Rules())  # nobody has pulled anything
        clock.pass_days(10)
        self.until = clock.now - 5 * DAY

    async def prune(self) -> None:
        """Remove everything, if nobody comes."""
        await remove(self.stepping, self.chooser(self.stepping))

    def chooser(self, backend: StorageBackend) -> Prune:
        """Chooses everything."""
        filters = Filters(until=self.until) if self._tag else Filters()
        return Prune(backend, filters, nothing, grace=-1, every=self._tag is not None)

    async def retag(self, registry: Registry) -> None:
        """Put the index under another tag."""
        await registry.put_manifest(APP, _ANEW, self.data[self.index], None)

    async def retag_child(self, registry: Registry) -> None:
        """Put one platform under a tag."""
        await registry.put_manifest(APP, _ANEW, self.data[self.children[0]], None)

    async def hold(self, registry: Registry) -> None:
        """Push an index of indexes."""
        await push_index(registry, _ANEW, self.index)

    async def refer(self, registry: Registry) -> None:
        """Push a referrer under a tag."""
        document = image(b"{}", [b"one"], subject=named_manifest(self.index))
        await push_document(registry, _ANEW, document)


Writer = Callable[[World, Registry], Coroutine[None, None, None]]
WRITERS: Sequence[Writer] = [World.retag, World.retag_child, World.hold, World.refer]


async def assert_whole(backend: StorageBackend, *, strict: bool) -> None:
    """Whatever a tag names is there, with all that it needs; with `strict`, also after a garbage collection."""
    registry = Registry(backend, Rules())
    if strict:
        await collect(backend)
    try:
        names = (await registry.tags(APP, "", 100)).names
    except NameUnknown:
        return
    waiting = [await registry.get_manifest(APP, Tag(tag)) for tag in names]
    while waiting:
        stored = waiting.pop()
        manifest = parse_manifest(stored.data, stored.media_type)
        waiting += [await registry.get_manifest(APP, child.digest) for child in manifest.manifests]
        for blob in manifest.blobs:
            assert await registry.blobs.has(APP, blob.digest)


async def is_pushed(registry: Registry) -> bool:
    try:
        await registry.get_manifest(APP, _ANEW)
    except ManifestUnknown:
        return False
    return True


# before which of its calls the removal stands still
_REMOVAL = [
    ("list", keyspace.INTENTS),
    ("children", "/tags/"),
    ("children", "/revisions/"),
    ("put", keyspace.CONDEMNED),
    ("list", keyspace.TOUCHED),
    ("delete_many", "/revisions/"),
    ("delete", keyspace.CONDEMNED),
]


@pytest.mark.parametrize("tag", [None, "old"])
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(("verb", "part"), _REMOVAL)
@pytest.mark.parametrize("times", [1, 2, 4])
async def test_a_push_in_the_middle_of_a_removal_is_whole_or_is_told_to_begin_again(
    clock: Clock, tag: str | None, writer: Writer, verb: str, part: str, times: int
) -> None:
    world = World(tag, clock)
    await world.fill(clock)
    stops = [world.stepping.stop_before(verb, part) for _ in range(times)]
    for stop in stops[:-1]:
        stop.go_on.set()

    removal = asyncio.create_task(world.prune())
    reached = asyncio.create_task(stops[-1].reached.wait())
    await asyncio.wait({removal, reached}, return_when=asyncio.FIRST_COMPLETED)
    push = asyncio.create_task(writer(world, Registry(world.stepping, Rules())))
    await asyncio.wait({push}, timeout=0.05)  # unless it waits for the end of the removal
    stops[-1].go_on.set()
    results = await asyncio.gather(removal, push, return_exceptions=True)
    reached.cancel()

    assert results[0] is None
    assert results[1] is None or isinstance(results[1], ReferencesUnknown)
    assert await is_pushed(Registry(world.stepping, Rules())) == (results[1] is None)
    await assert_whole(world.stepping, strict=True)


# before which of its calls a push stands still
_PUSH = [
    ("put", keyspace.INTENTS),
    ("get", keyspace.COLLECTOR),
    ("put_many", "/revisions/"),
    ("put_many", "/tags/"),
    ("delete", keyspace.INTENTS),
]


@pytest.mark.parametrize("tag", [None, "old"])
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(("verb", "part"), _PUSH)
async def test_a_removal_in_the_middle_of_a_push_takes_nothing_from_it(
    clock: Clock, tag: str | None, writer: Writer, verb: str, part: str
) -> None:
    world = World(tag, clock)
    await world.fill(clock)
    stop = world.stepping.stop_before(verb, part)

    push = asyncio.create_task(writer(world, Registry(world.stepping, Rules())))
    await stop.reached.wait()
    await world.prune()
    stop.go_on.set()
    [result] = await asyncio.gather(push, return_exceptions=True)

    assert result is None or isinstance(result, ReferencesUnknown)
    assert await is_pushed(Registry(world.stepping, Rules())) == (result is None)
    await assert_whole(world.stepping, strict=True)


async def test_a_tag_that_is_moved_away_meanwhile_names_the_new_manifest(clock: Clock) -> None:
    world = World("old", clock)
    await world.fill(clock)
    stop = world.stepping.stop_before("put", keyspace.CONDEMNED)

    removal = asyncio.create_task(world.prune())
    await stop.reached.wait()
    new = await push(world.registry, "old", b"new")
    stop.go_on.set()
    await removal

    assert (await world.registry.get_manifest(APP, Tag("old"))).digest == new
    with pytest.raises(ManifestUnknown):
        await world.registry.get_manifest(APP, world.index)


async def test_what_a_new_referrer_refers_to_stays_with_all_that_it_holds(clock: Clock) -> None:
    world = World(None, clock)
    await world.fill(clock)
    stop = world.stepping.stop_before("put", keyspace.CONDEMNED)

    removal = asyncio.create_task(world.prune())
    await stop.reached.wait()
    await world.refer(world.registry)
    stop.go_on.set()
    await removal

    for digest in (world.index, *world.children, world.signature):
        assert (await world.registry.get_manifest(APP, digest)).digest == digest


@pytest.mark.parametrize("tag", [None, "old"])
async def test_killed_before_any_of_its_steps_it_leaves_nothing_broken_and_the_next_one_finishes(
    clock: Clock, tag: str | None
) -> None:
    number = 0
    while True:
        world = World(tag, clock)
        await world.fill(clock)
        dying = Dying(world.stepping, number)
        try:
            await remove(dying, world.chooser(dying))
        except Killed:
            number += 1
        else:
            break
        await assert_whole(world.stepping, strict=False)
        clock.pass_days(1)  # the lease of the killed one runs out
        await world.prune()
        await assert_whole(world.stepping, strict=True)
        await collect(world.stepping)  # a signature stays as long as the bytes of what it signs lie anywhere
        await world.prune()
        for digest in (world.index, *world.children, world.signature):
            with pytest.raises(NotFound):
                await world.stepping.get(keyspace.revision_link(APP, digest))
    assert number > 10


async def test_who_was_held_up_between_two_tags_takes_nothing_more(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of tags take longer than a lease: another one has begun then, and clients see no claim any more."""
    monkeypatch.setattr("registry.content.leases._TOLD_SECONDS", 0)
    stepping = SteppingBackend(MemoryBackend(clock.time))
    registry = Registry(stepping, Rules())
    digest = await push(registry, "one", b"layer")
    await push(registry, "two", b"layer")
    slow, shard = Collector(stepping, "slow", 300), digest.encoded[:2]
    await slow.begin(await storage_time(stepping))
    doomed = Doomed([keyspace.revision_link(APP, digest)], tags=[(APP, Tag("one")), (APP, Tag("two"))])
    stop = stepping.stop_before("delete", "/one/current")

    async def carry_out() -> None:
        async for _ in remove_doomed(stepping, slow, shard, {digest: doomed}):
            pass

    removal = asyncio.create_task(carry_out())
    await stop.reached.wait()
    clock.pass_days(1)
    await Collector(stepping, "the next one", 300).begin(await storage_time(stepping))
    await push(registry, "two", b"layer")
    stop.go_on.set()
    with pytest.raises(LeaseLost):
        await removal

    assert (await registry.get_manifest(APP, Tag("two"))).digest == digest


class Killed(BaseException):
    """Nothing comes after it."""


class Dying(SteppingBackend):
    """A storage whose user is killed before the change that has this number."""

    def __init__(self, inner: StorageBackend, number: int) -> None:
        super().__init__(inner)
        self._left = number

    async def _pass(self, verb: str, *keys: str) -> None:
        if verb in ("put", "put_many", "delete", "delete_many"):
            self._left -= 1
            if self._left < 0:
                raise Killed
        await super()._pass(verb, *keys)
