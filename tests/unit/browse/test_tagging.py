"""Another name for an image, without moving it."""

import pytest

from registry.browse.tagging import NotMounted, retag
from registry.content.digest import Digest
from registry.content.errors import ManifestUnknown
from registry.content.names import RepositoryName, Tag
from tests.images import index, random_image
from tests.unit.mirror.places import MemoryPlace

pytestmark = pytest.mark.anyio
APP, OTHER = RepositoryName("team/app"), RepositoryName("other/app")
ONE, TWO = random_image(1), random_image(2, architecture="arm64")
BOTH = index([ONE, TWO])


async def test_in_the_same_repository_one_manifest_is_put() -> None:
    place = MemoryPlace()
    digest = place.add(APP, BOTH, "1")

    assert await retag(place, APP, Tag("1"), APP, Tag("2")) == digest

    assert place.calls == [f"manifest {digest} 2"]


async def test_into_another_repository_blobs_are_mounted_and_the_tag_comes_last() -> None:
    place = MemoryPlace(sparse=False)
    digest = place.add(APP, BOTH, "1")

    await retag(place, APP, digest, OTHER, Tag("2"))

    assert place.at("other/app").blobs == place.at("team/app").blobs
    assert place.at("other/app").manifests == place.at("team/app").manifests
    assert place.calls[-1] == f"manifest {digest} 2"
    assert not any(call.startswith("blob") for call in place.calls)


async def test_blobs_that_are_there_are_left_alone() -> None:
    place = MemoryPlace()
    place.add(APP, ONE, "1")
    place.add(OTHER, ONE)

    await retag(place, APP, Tag("1"), OTHER, Tag("2"))

    assert place.calls == [f"manifest {ONE.manifest.digest} 2"]


async def test_a_place_that_does_not_mount_shows_nothing() -> None:
    place = MemoryPlace(can_mount=False)
    place.add(APP, ONE, "1")

    with pytest.raises(NotMounted, match="cannot be taken over from team/app"):
        await retag(place, APP, Tag("1"), OTHER, Tag("2"))

    assert OTHER not in place.held


async def test_what_is_not_there_is_said() -> None:
    place = MemoryPlace()
    place.add(APP, ONE, "1")

    for reference in (Tag("nope"), Digest.of(b"nope")):
        with pytest.raises(ManifestUnknown):
            await retag(place, APP, reference, APP, Tag("2"))
