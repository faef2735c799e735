"""What goes of a cache: what nobody has used for long, and what there is no room for."""

import asyncio

import pytest

from registry.cleanup.eviction import CacheLimits, Eviction
from registry.cleanup.filters import Filters
from registry.cleanup.prune import Prune
from registry.content.digest import Digest
from registry.content.immutable_tags import nothing
from registry.content.leases import storage_time
from registry.content.local_place import LocalPlace
from registry.content.names import RepositoryName
from registry.content.repository import Registry
from registry.name_patterns import NamePattern
from storage_backends.base import StorageBackend
from tests.unit.cleanup.conftest import DAY, Clock
from tests.unit.cleanup.pushing import push, remove

HUB = RepositoryName("hub/app")
OWN = RepositoryName("team/app")


async def _pull(registry: Registry, name: RepositoryName, digest: Digest) -> None:
    await registry.get_manifest(name, digest)
    await registry.pulls.write()


async def _evict(backend: StorageBackend, *lasting: str, **limits: float) -> Filters | None:
    patterns = [NamePattern(text) for text in lasting]
    within = CacheLimits([NamePattern("hub/**")], lasting=patterns, **limits)  # type: ignore[arg-type]
    found = Eviction(backend, within, lambda: asyncio.sleep(0))
    return await found.filters(await storage_time(backend))


@pytest.fixture
async def images(registry: Registry, clock: Clock) -> dict[str, Digest]:
    """Three images of a cache and one beside it, each of 1000 bytes that no other has; the first was pulled last."""
    await registry.pulls.write()
    pushed = {tag: await push(registry, tag, tag.encode() * 500, name=HUB) for tag in ("v1", "v2", "v3")}
    pushed["own"] = await push(registry, "own", b"own" * 500, name=OWN)
    clock.pass_days(10)
    await _pull(registry, HUB, pushed["v1"])
    clock.pass_days(10)
    return pushed


async def _left(registry: Registry, images: dict[str, Digest]) -> set[str]:
    names = {tag: OWN if tag == "own" else HUB for tag in images}
    place = LocalPlace(registry)
    return {tag for tag, digest in images.items() if await place.has_manifest(names[tag], digest)}


async def _apply(backend: StorageBackend, filters: Filters | None) -> None:
    assert filters is not None
    await remove(backend, Prune(backend, filters, nothing, every=True), for_good=True)


async def test_what_nobody_has_pulled_for_long_goes_and_only_of_the_cache(
    registry: Registry, backend: StorageBackend, images: dict[str, Digest]
) -> None:
    await _apply(backend, await _evict(backend, keep=15 * DAY))

    assert await _left(registry, images) == {"v1", "own"}


async def test_what_a_bundle_has_brought_in_the_middle_of_a_cache_stays(
    registry: Registry, backend: StorageBackend, clock: Clock, images: dict[str, Digest]
) -> None:
    """`hub/**` mirrors, and `hub/app/**` does not: that is how sources of which one is offline lie in each other."""
    brought = RepositoryName("hub/app/brought")
    digest = await push(registry, "brought", b"brought" * 500, name=brought)
    clock.pass_days(10)

    await _apply(backend, await _evict(backend, "hub/app/**", keep=DAY))

    assert await _left(registry, images) == {"own"}
    assert await LocalPlace(registry).has_manifest(brought, digest)


async def test_what_was_pulled_longest_ago_makes_room(
    registry: Registry, backend: StorageBackend, clock: Clock, images: dict[str, Digest]
) -> None:
    await _pull(registry, HUB, images["v2"])
    clock.pass_days(1)

    await _apply(backend, await _evict(backend, most=4000))

    assert await _left(registry, images) == {"v1", "v2", "own"}


@pytest.mark.parametrize("limits", [{}, {"most": 10_000}])
async def test_nothing_goes_while_there_is_room(
    backend: StorageBackend, images: dict[str, Digest], limits: dict[str, float]
) -> None:
    assert await _evict(backend, **limits) is None


async def test_a_blob_that_a_younger_image_needs_makes_no_room(
    registry: Registry, backend: StorageBackend, clock: Clock
) -> None:
    await registry.pulls.write()
    shared = b"shared" * 1000
    images = {tag: await push(registry, tag, shared, tag.encode(), name=HUB) for tag in ("v1", "v2", "v3")}
    for digest in images.values():
        clock.pass_days(2)
        await _pull(registry, HUB, digest)
    clock.pass_days(2)

    filters = await _evict(backend, most=6600)
    await _apply(backend, filters)

    assert await _left(registry, images) == {"v3"}
