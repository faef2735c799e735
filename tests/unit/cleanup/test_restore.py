"""What was deleted comes back whole within the grace period, and not after it; no interleaving breaks that."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from registry.cleanup.gc import Collected, Collection, Options
from registry.cleanup.restore import Restorable, Restored, Restorer, choose
from registry.content import keyspace, mediatypes, paging
from registry.content.digest import Digest
from registry.content.errors import ManifestUnknown
from registry.content.immutable_tags import nothing
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.repository import Registry, Rules
from registry.content.trash import Trash
from storage_backends.base import StorageBackend
from storage_backends.memory import MemoryBackend
from tests.unit.cleanup.conftest import Clock
from tests.unit.content.documents import descriptor, encoded, image, index
from tests.unit.content.pouring import Poured
from tests.unit.content.stepping import SteppingBackend

pytestmark = pytest.mark.anyio
_APP = RepositoryName.parse("team/app")
_CONFIG, _LAYER, _OTHER = b"{}", b"a layer", b"another layer"
_RULES = Rules()
_GRACE = Options(grace=_RULES.grace_seconds)
_V1, _V2, _LATEST = Tag("v1"), Tag("v2"), Tag("latest")


@pytest.fixture
def stepping(backend: MemoryBackend) -> SteppingBackend:
    return SteppingBackend(backend)


async def push(registry: Registry, *tags: Tag, layers: Sequence[bytes] = (_LAYER,), **more: Any) -> Digest:
    """Push an image; return its digest."""
    for data in (_CONFIG, *layers):
        await registry.uploads.push(_APP, Digest.of(data), Poured(data))
    data = encoded(image(_CONFIG, layers, **more))
    return (await registry.put_manifest(_APP, Digest.of(data), data, None, tags)).digest


async def collect(backend: StorageBackend, options: Options = _GRACE) -> Collected:
    """One whole cycle."""
    work = Collection(backend, options, "a test")
    async for _ in work.run():
        pass
    return work.collected


async def restorable(backend: StorageBackend) -> list[Restorable]:
    """What can be restored in the repository."""
    return await Restorer(backend, _RULES, nothing).of(_APP)


async def restore(backend: StorageBackend, reference: Reference | None = None, **options: Any) -> list[Restored]:
    """Restore; what came of it."""
    restorer = Restorer(backend, _RULES, nothing, **options)
    known = await restorer.of(_APP)
    return [one async for one in restorer.restore(choose(known, reference), known)]


async def tags(registry: Registry) -> dict[str, Digest]:
    """What each tag names."""
    names = (await registry.tags(_APP, "", 100)).names
    return {name: (await registry.get_manifest(_APP, Tag(name))).digest for name in names}


async def assert_whole(registry: Registry, tag: Tag, digest: Digest) -> None:
    """The tag names the image, and all of its blobs are there."""
    stored = await registry.get_manifest(_APP, tag)
    assert stored.digest == digest
    for data in (_CONFIG, _LAYER):
        assert await registry.blobs.has(_APP, Digest.of(data))


async def test_a_deleted_manifest_stays_restorable_with_all_its_tags_until_the_grace_period_is_over(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    digest = await push(registry, _V1, _V2)
    clock.let_grace_pass()
    await registry.delete_manifest(_APP, digest)

    await collect(backend)
    [found] = await restorable(backend)
    [restored] = await restore(backend, digest)

    assert (found.digest, found.tags, found.there) == (digest, (_V1, _V2), False)
    assert (restored.tags, restored.there, restored.refused) == ((_V1, _V2), True, ())
    assert await tags(registry) == {"v1": digest, "v2": digest}
    await assert_whole(registry, _V1, digest)
    assert await restorable(backend) == []


async def test_after_the_grace_period_it_goes_with_all_that_was_kept_of_it(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    digest = await push(registry, _V1)
    await registry.delete_manifest(_APP, digest)
    clock.let_grace_pass()

    [found] = await restorable(backend)
    collected = await collect(backend)

    assert (collected.removed_blobs, collected.removed_trash) == (3, 1)
    assert await restorable(backend) == []
    assert [key async for key in paging.keys(backend, "") if not key.startswith("cargohold/v1/gc/")] == []
    restorer = Restorer(backend, _RULES, nothing)
    [late] = [one async for one in restorer.restore([found], [])]
    assert late.refused == (f"too late: {digest} is gone",)


async def test_a_manifest_whose_layer_is_gone_is_not_restored(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    digest = await push(registry, _V1)
    await registry.delete_manifest(_APP, digest)
    await registry.delete_blob(_APP, Digest.of(_LAYER))

    for dry_run in (True, False):
        [late] = await restore(backend, _V1, dry_run=dry_run)
        assert late.refused == (f"too late: {Digest.of(_LAYER)}, which it needs, is gone",)
        assert not late.there
    with pytest.raises(ManifestUnknown):
        await registry.get_manifest(_APP, digest)


async def test_a_deleted_tag_comes_back_and_leaves_the_manifest_alone(
    backend: MemoryBackend, registry: Registry
) -> None:
    digest = await push(registry, _V1, _V2)
    await registry.delete_tag(_APP, _V1)

    [found] = await restorable(backend)
    [restored] = await restore(backend, _V1)

    assert (found.tags, found.there) == ((_V1,), True)
    assert restored.tags == (_V1,)
    assert await tags(registry) == {"v1": digest, "v2": digest}


async def test_a_tag_comes_back_alone_and_the_others_can_follow(backend: MemoryBackend, registry: Registry) -> None:
    digest = await push(registry, _V1, _V2)
    await registry.delete_manifest(_APP, digest)

    [restored] = await restore(backend, _V2)

    assert restored.tags == (_V2,)
    assert await tags(registry) == {"v2": digest}
    assert [item.tags for item in await restorable(backend)] == [(_V1,)]
    await restore(backend)
    assert await tags(registry) == {"v1": digest, "v2": digest}


@pytest.mark.parametrize("reference", [_V1, None])
async def test_a_tag_that_was_deleted_twice_names_again_what_it_named_last(
    backend: MemoryBackend, registry: Registry, clock: Clock, reference: Tag | None
) -> None:
    first = await push(registry, _V1)
    await registry.delete_manifest(_APP, first)
    clock.now += 1
    second = await push(registry, _V1, layers=(_LAYER, _OTHER))
    await registry.delete_manifest(_APP, second)

    restored = await restore(backend, reference)

    assert [one.refused for one in restored] == [()] * len(restored)
    assert await tags(registry) == {"v1": second}


async def test_a_tag_that_names_something_else_by_now_is_moved_by_force_only(
    backend: MemoryBackend, registry: Registry
) -> None:
    old = await push(registry, _V1)
    await registry.delete_tag(_APP, _V1)
    new = await push(registry, _V1, layers=(_OTHER,))

    [refused] = await restore(backend, _V1)
    assert refused.refused == (f"team/app:v1 names {new} by now",)
    assert await tags(registry) == {"v1": new}

    [forced] = await restore(backend, _V1, force=True)
    assert forced.tags == (_V1,)
    assert await tags(registry) == {"v1": old}


async def test_an_immutable_tag_is_not_moved_even_by_force(backend: MemoryBackend, registry: Registry) -> None:
    await push(registry, _V1)
    await registry.delete_tag(_APP, _V1)
    new = await push(registry, _V1, layers=(_OTHER,))

    restorer = Restorer(backend, _RULES, lambda _: lambda tag: tag == "v1", force=True)
    known = await restorer.of(_APP)
    [refused] = [one async for one in restorer.restore(known, known)]

    assert refused.refused == (f"team/app:v1 names {new} by now",)
    assert await tags(registry) == {"v1": new}


async def test_an_index_comes_back_with_its_children_and_their_signatures(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    child = await push(registry)
    data = (await registry.get_manifest(_APP, child)).data
    signature = await push(registry, subject=descriptor(data, mediatypes.OCI_MANIFEST))
    whole = encoded(index([descriptor(data, mediatypes.OCI_MANIFEST)]))
    top = (await registry.put_manifest(_APP, _LATEST, whole, None)).digest
    clock.let_grace_pass()
    for digest in (signature, top, child):
        await registry.delete_manifest(_APP, digest)
    await collect(backend)

    restored = await restore(backend, _LATEST)

    assert [one.item.digest for one in restored] == [child, signature, top]
    assert await tags(registry) == {"latest": top}
    page = await registry.referrers(_APP, child, None, "", 10)
    assert [entry["digest"] for entry in page.descriptors] == [str(signature)]


async def test_what_a_tag_attaches_to_an_image_comes_back_with_it_and_that_tag(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    """cosign's signatures, of one of which a newer one has taken the tag."""
    digest = await push(registry, _V1)
    attached = Tag(f"sha256-{digest.encoded}.sig")
    old = await push(registry, attached, layers=(_OTHER,))
    await registry.delete_manifest(_APP, old)
    clock.now += 1
    signature = await push(registry, attached, Tag("mine"), layers=(_LAYER, _OTHER))
    for gone in (signature, digest):
        await registry.delete_manifest(_APP, gone)

    restored = await restore(backend, _V1)

    assert [one.refused for one in restored] == [()] * len(restored)
    assert await tags(registry) == {"v1": digest, attached: signature}


async def test_indexes_that_hold_each_other_a_thousand_deep_come_back(
    backend: MemoryBackend, registry: Registry
) -> None:
    data = encoded(index())
    await registry.put_manifest(_APP, Digest.of(data), data, None)
    digests = [Digest.of(data)]
    for _ in range(1200):
        data = encoded(index([descriptor(data, mediatypes.OCI_INDEX)]))
        digests.append((await registry.put_manifest(_APP, Digest.of(data), data, None)).digest)
    for digest in digests:
        await registry.delete_manifest(_APP, digest)

    restored = await restore(backend, digests[-1])

    assert [one.item.digest for one in restored] == digests


async def test_without_grace_nothing_is_written_down_and_nothing_kept(backend: MemoryBackend) -> None:
    registry = Registry(backend, Rules(grace_seconds=0))
    digest = await push(registry, _V1, _V2)
    await registry.delete_tag(_APP, _V1)
    await registry.delete_manifest(_APP, digest)

    assert await restorable(backend) == []
    assert [key async for key in paging.keys(backend, keyspace.OWN_REPOSITORIES)] == []


async def test_a_dry_run_restores_nothing_and_says_the_same(backend: MemoryBackend, registry: Registry) -> None:
    digest = await push(registry, _V1)
    await registry.delete_manifest(_APP, digest)
    before = {key async for key in paging.keys(backend, "")}

    [dry] = await restore(backend, dry_run=True)

    assert (dry.tags, dry.there) == ((_V1,), True)
    assert {key async for key in paging.keys(backend, "")} == before


async def test_a_media_type_that_the_bytes_do_not_tell_comes_back_too(
    backend: MemoryBackend, registry: Registry
) -> None:
    for data in (_CONFIG, _LAYER):
        await registry.uploads.push(_APP, Digest.of(data), Poured(data))
    document = encoded(image(_CONFIG, (_LAYER,), mediaType=None))
    digest = (await registry.put_manifest(_APP, _V1, document, mediatypes.DOCKER_MANIFEST)).digest
    await registry.delete_manifest(_APP, digest)

    await collect(backend)
    await restore(backend)

    assert (await registry.get_manifest(_APP, _V1)).media_type == mediatypes.DOCKER_MANIFEST


async def test_what_lies_among_the_records_and_is_none_is_passed_over(
    backend: MemoryBackend, registry: Registry
) -> None:
    digest = await push(registry, _V1)
    await registry.delete_tag(_APP, _V1)
    [record] = [key async for key in paging.keys(backend, keyspace.trash(_APP))]
    await backend.put(f"{keyspace.trash(_APP)}sha256/nonsense/x", b"{}")
    await backend.put(f"{keyspace.trash(_APP)}stray", b"")
    for number, data in enumerate((b"", b"[]", b'{"mediaType": 1}', b'{"mediaType": "", "tags": 7, "subject": ""}')):
        await backend.put(f"{record}{number}", data)
    await backend.put(f"{record}9", b'{"mediaType": "", "tags": ["../../v9"], "subject": ""}')

    await collect(backend)
    found = await restorable(backend)

    assert [(item.digest, item.tags) for item in found] == [(digest, (_V1,))]


# before which of the deletion's calls a whole collection runs
_DELETION = [("put", "_trash/"), ("list", "tags/v1/"), ("delete", "revisions/"), ("delete", "_referrers/")]


@pytest.mark.parametrize(("verb", "part"), _DELETION)
async def test_a_collection_in_the_middle_of_a_deletion_leaves_it_restorable(
    stepping: SteppingBackend, clock: Clock, verb: str, part: str
) -> None:
    registry = Registry(stepping, _RULES)
    digest = await push(registry, _V1, subject=descriptor(b"subject", mediatypes.OCI_MANIFEST))
    clock.let_grace_pass()
    stop = stepping.stop_before(verb, part)

    deletion = asyncio.create_task(registry.delete_manifest(_APP, digest))
    await stop.reached.wait()
    await collect(stepping)
    stop.go_on.set()
    await deletion
    await collect(stepping)

    assert [one.refused for one in await restore(stepping)] == [()]
    await assert_whole(registry, _V1, digest)


# before which of the collection's calls a whole deletion runs
_COLLECTION = [
    ("children", "_manifests/revisions/"), ("get", "blobs/"), ("list", "_trash/"), ("children", "_layers/"),
    ("put", "gc/condemned/"), ("list", "gc/touched/"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "part"), _COLLECTION)
async def test_a_deletion_in_the_middle_of_a_collection_stays_restorable(
    stepping: SteppingBackend, clock: Clock, verb: str, part: str
) -> None:
    registry = Registry(stepping, _RULES)
    digest = await push(registry, _V1)
    await registry.uploads.push(_APP, Digest.of(_OTHER), Poured(_OTHER))  # something that goes
    clock.let_grace_pass()
    stop = stepping.stop_before(verb, part)

    collection = asyncio.create_task(collect(stepping))
    await stop.reached.wait()
    await registry.delete_manifest(_APP, digest)
    stop.go_on.set()
    await collection

    assert [one.refused for one in await restore(stepping)] == [()]
    await assert_whole(registry, _V1, digest)


_AFTER_GRACE = [
    *(step for step in _COLLECTION if step[0] != "get"), ("delete_many", "_layers/"), ("delete_many", "blobs/"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "part"), _AFTER_GRACE)
async def test_a_restoration_in_the_middle_of_the_collection_that_takes_it_is_whole_or_refused(
    stepping: SteppingBackend, clock: Clock, verb: str, part: str
) -> None:
    registry = Registry(stepping, _RULES)
    digest = await push(registry, _V1)
    await registry.delete_manifest(_APP, digest)
    clock.let_grace_pass()
    stop = stepping.stop_before(verb, part)

    collection = asyncio.create_task(collect(stepping))
    await stop.reached.wait()
    restoration = asyncio.create_task(restore(stepping))
    await asyncio.wait([restoration], timeout=0.05)  # it may wait for the collector
    stop.go_on.set()
    await collection
    [restored] = await restoration

    if restored.there:
        await assert_whole(registry, _V1, digest)
    else:
        assert restored.refused[0].startswith("too late")
        with pytest.raises(ManifestUnknown):
            await registry.get_manifest(_APP, digest)
    await collect(stepping)
    if restored.there:
        await assert_whole(registry, _V1, digest)


# before which of the restoration's calls it dies
_RESTORATION = [
    ("put", "gc/intents/"), ("put_many", "revisions/"), ("put", "tags/v1/index"), ("put", "tags/v1/current"),
    ("delete_many", "_trash/"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "part"), _RESTORATION)
async def test_a_restoration_that_dies_can_be_done_again(
    stepping: SteppingBackend, clock: Clock, verb: str, part: str
) -> None:
    registry = Registry(stepping, _RULES)
    digest = await push(registry, _V1)
    clock.let_grace_pass()
    await registry.delete_manifest(_APP, digest)
    stop = stepping.stop_before(verb, part)

    dying = asyncio.create_task(restore(stepping))
    await stop.reached.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    await collect(stepping)
    await restore(stepping)

    await assert_whole(registry, _V1, digest)
    assert await restorable(stepping) == []


async def test_a_tag_that_is_pushed_while_it_is_restored_is_not_taken_back(stepping: SteppingBackend) -> None:
    registry = Registry(stepping, _RULES)
    digest = await push(registry, _V1)
    await registry.delete_manifest(_APP, digest)
    stop = stepping.stop_before("put_many", "revisions/")

    restoration = asyncio.create_task(restore(stepping))
    await stop.reached.wait()
    new = await push(Registry(stepping, _RULES), _V1, layers=(_OTHER,))
    stop.go_on.set()
    [refused] = await restoration

    assert refused.refused
    assert await tags(registry) == {"v1": new}


async def test_a_deletion_costs_one_small_write_more_and_a_pull_nothing(stepping: SteppingBackend) -> None:
    registry = Registry(stepping, _RULES)
    digest = await push(registry, _V1)
    stepping.calls.clear()

    await registry.get_manifest(_APP, _V1)
    await registry.blobs.has(_APP, Digest.of(_LAYER))
    pulled = list(stepping.calls)
    await registry.delete_manifest(_APP, digest)

    assert not any("_trash" in key for _, keys in pulled for key in keys)
    assert [verb for verb, keys in stepping.calls if any("_trash" in key for key in keys)] == ["put"]


async def test_records_of_many_are_written_by_whoever_deletes_many(backend: MemoryBackend, registry: Registry) -> None:
    digest = await push(registry, _V1)
    await registry.delete_tag(_APP, _V1)
    found = [one async for one in Trash(backend, _RULES.grace_seconds).of(_APP)]

    assert [(one.digest, one.tags, one.repository) for one in found] == [(digest, ("v1",), "team/app")]
    assert len(Trash(backend, 1).records(found)) == 1
    assert Trash(backend, 0).records(found) == []
