"""Space by repository: the same bytes are counted once, and what nobody needs is told apart."""

import pytest

from registry.browse.dangling import dangling
from registry.browse.usage import Space, Usage
from registry.browse.usage_of_place import PlaceUsage
from registry.browse.usage_of_storage import StorageUsage
from registry.cleanup.filters import Filters
from registry.cleanup.gc import Options
from registry.cleanup.image_removal import ImageRemoval
from registry.cleanup.image_removal import Options as RemovalOptions
from registry.cleanup.prune import Prune
from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.immutable_tags import nothing
from registry.content.local_place import LocalPlace
from registry.content.names import RepositoryName
from registry.content.places import Source
from registry.content.repository import Registry, Rules
from storage_backends.memory import MemoryBackend
from tests.images import Content, Image, Index, all_contents, artifact, image, index, random_layer
from tests.unit.browse.pushing import push
from tests.unit.content.pouring import Poured
from tests.unit.mirror.places import MemoryPlace

pytestmark = pytest.mark.anyio
BASE = random_layer(1000, 1)
ONE = image([BASE, random_layer(2000, 2)])
TWO = image([BASE, random_layer(3000, 3)], architecture="arm64")


def a(number: int) -> Digest:
    return Digest.of(b"%d" % number)


def size(*contents: Content) -> int:
    return sum(len(content.data) for content in {content.digest: content for content in contents}.values())


def whole(*values: Image | Index) -> int:
    return size(*(content for value in values for content in all_contents(value)))


def test_each_blob_is_counted_once_and_belongs_to_whom_alone_needs_it() -> None:
    usage = Usage()

    usage.add("a", 1, 1, {a(1): (10, True), a(2): (5, True)})
    usage.add("b", 1, 1, {a(1): (10, True), a(3): (1, True)})
    usage.add("c", 1, 1, {a(1): (10, True)})

    assert usage.spaces == [Space("a", 1, 1, 15, 5, 10), Space("b", 1, 1, 11, 1, 10), Space("c", 1, 1, 10, 0, 10)]
    assert (usage.blobs, usage.tagged, usage.untagged) == (3, 16, 0)


def test_what_an_image_with_a_tag_needs_anywhere_cannot_be_reclaimed() -> None:
    usage = Usage()

    usage.add("a", 0, 1, {a(1): (10, False), a(2): (5, False)})
    assert (usage.spaces[0].reclaimable, usage.untagged) == (15, 15)
    usage.add("b", 1, 1, {a(1): (10, True)})

    assert usage.spaces[0].reclaimable == 5
    assert (usage.tagged, usage.untagged) == (10, 5)


def test_what_two_repositories_need_for_untagged_images_is_of_neither_alone() -> None:
    usage = Usage()

    usage.add("a", 0, 1, {a(1): (10, False)})
    usage.add("b", 0, 1, {a(1): (10, False)})

    assert [space.reclaimable for space in usage.spaces] == [0, 0]
    assert (usage.tagged, usage.untagged) == (0, 10)


async def seen(source: Source) -> Usage:
    look = PlaceUsage(source)
    async for _ in look.run():
        pass
    return look.usage


async def test_from_outside_the_space_of_all_tags_is_seen() -> None:
    place = MemoryPlace()
    place.add("team/app", index([ONE, TWO]), "both", "latest")
    place.add("team/app", ONE, "1")
    place.add("team/other", ONE, "1")

    usage = await seen(place)

    assert [(space.repository, space.tags, space.images) for space in usage.spaces] == [
        ("team/app", 3, 3),
        ("team/other", 1, 1),
    ]
    assert usage.tagged == whole(index([ONE, TWO]))
    assert usage.spaces[0].shared == usage.spaces[1].size == whole(ONE)
    assert usage.spaces[0].own == usage.tagged - whole(ONE)


async def looked(backend: MemoryBackend, grace: float = -1) -> StorageUsage:
    look = StorageUsage(backend, Options(grace=grace))
    async for _ in look.run():
        pass
    return look


async def test_on_storage_and_from_outside_the_space_of_tags_is_the_same() -> None:
    backend = MemoryBackend()
    registry = Registry(backend, Rules())
    await push(registry, "team/app", index([ONE, TWO]), "both")
    await push(registry, "team/other", ONE, "1")

    look = await looked(backend)

    from_outside = (await seen(LocalPlace(registry))).spaces
    assert sorted(look.usage.spaces, key=lambda space: space.repository) == from_outside
    assert (look.usage.tagged, look.usage.untagged, look.unneeded) == (whole(index([ONE, TWO])), 0, 0)


async def test_on_storage_what_prune_and_what_gc_would_give_back_is_told_apart() -> None:
    backend = MemoryBackend()
    registry = Registry(backend, Rules())
    await push(registry, "team/app", ONE, "1")
    await push(registry, "team/app", TWO)
    await registry.uploads.push(RepositoryName("team/app"), Digest.of(b"nobody's"), Poured(b"nobody's"))

    look = await looked(backend)

    reclaimable = whole(ONE, TWO) - whole(ONE)
    assert [space.reclaimable for space in look.usage.spaces] == [reclaimable]
    assert (look.usage.tagged, look.usage.untagged) == (whole(ONE), reclaimable)
    assert (look.unneeded, look.unneeded_blobs, look.collectable) == (8, 1, 8)


async def test_on_storage_what_is_young_is_not_collectable_yet() -> None:
    backend = MemoryBackend()
    registry = Registry(backend, Rules())
    await registry.uploads.push(RepositoryName("team/app"), Digest.of(b"nobody's"), Poured(b"nobody's"))

    look = await looked(backend, grace=3600)

    assert (look.unneeded, look.collectable) == (8, 0)


async def test_a_signature_of_an_image_with_a_tag_is_not_reclaimable() -> None:
    backend = MemoryBackend()
    registry = Registry(backend, Rules())
    await push(registry, "team/app", ONE, "1")
    await push(registry, "team/app", artifact(b"signature", "a/b", subject=ONE.manifest))

    look = await looked(backend)

    assert look.usage.untagged == 0


async def test_a_blob_that_is_missing_takes_no_space() -> None:
    backend = MemoryBackend()
    registry = Registry(backend, Rules())
    await push(registry, "team/app", ONE, "1")
    await backend.delete(keyspace.blob(Digest.parse(BASE.digest)))

    look = await looked(backend)

    assert look.usage.tagged == whole(ONE) - len(BASE.data)


async def test_a_tag_that_belongs_to_an_image_without_one_keeps_neither() -> None:
    """What is called reclaimable and dangling is what prune takes."""
    backend = MemoryBackend()
    registry = Registry(backend, Rules())
    signature = artifact(b"signature", "application/sig", subject=TWO.manifest)
    await push(registry, "app", ONE, "1")
    await push(registry, "app", TWO)
    await push(registry, "app", signature, f"sha256-{TWO.manifest.digest.removeprefix('sha256:')}.sig")
    found = StorageUsage(backend, Options(grace=-1))
    async for _ in found.run():
        pass

    assert await dangling(backend, "app") == [Digest.parse(TWO.manifest.digest)]
    removal = ImageRemoval(backend, Prune(backend, Filters(), nothing, -1), RemovalOptions(-1, 0), "a test")
    async for _ in removal.run():
        pass

    assert found.usage.untagged == found.usage.spaces[0].reclaimable == removal.removed.freed > 3000
    assert await dangling(backend, "app") == []
