"""Lists of images: of thousands of tags, while tags come and go, of a place that fails."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from registry.browse.filters import Filters
from registry.browse.images import Images, Shown
from registry.browse.listing import Listing, Row, Wanted, newest_first
from registry.browse.side_by_side import AT_A_TIME, in_order
from registry.content.errors import ManifestUnknown, PlaceUnavailable
from registry.content.manifest_store import StoredManifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.mirror.platforms import Platform
from tests.images import image, random_image, random_layer
from tests.unit.mirror.places import MemoryPlace

pytestmark = pytest.mark.anyio
APP = RepositoryName("team/app")
ONE = random_image(1)


class SlowPlace(MemoryPlace):
    """Counts how many manifests are asked for at a time, and how often."""

    asked = at_a_time = most = 0

    async def manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
        self.asked += 1
        self.at_a_time += 1
        self.most = max(self.most, self.at_a_time)
        try:
            await asyncio.sleep(0)
            return await super().manifest(name, reference)
        finally:
            self.at_a_time -= 1


def listing(place: MemoryPlace) -> Listing:
    return Listing(place, Images(place, Shown(Platform("linux", "amd64"))), Wanted(Filters()))


async def rows(place: MemoryPlace) -> list[Row]:
    return [row async for found in listing(place).of_repositories() for row in found]


async def test_thousands_of_tags_are_asked_for_so_many_at_a_time_and_each_once() -> None:
    place = SlowPlace()
    place.add(APP, ONE, *(f"v{n}" for n in range(2000)))

    found = await rows(place)

    assert [row.tag for row in found] == [f"v{n}" for n in range(2000)]
    assert (place.asked, place.most) == (2000, AT_A_TIME)


async def test_a_tag_that_goes_meanwhile_is_left_out() -> None:
    class Going(MemoryPlace):
        async def manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
            if reference == Tag("2"):
                raise ManifestUnknown("gone")
            return await super().manifest(name, reference)

    place = Going()
    place.add(APP, ONE, "1", "2", "3")

    assert [row.tag for row in await rows(place)] == ["1", "3"]


async def test_a_place_that_fails_ends_the_list_and_all_that_was_asked() -> None:
    class Failing(SlowPlace):
        async def manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
            found = await super().manifest(name, reference)
            if reference == Tag("v50"):
                raise PlaceUnavailable("gone")
            return found

    place = Failing()
    place.add(APP, ONE, *(f"v{n}" for n in range(2000)))

    with pytest.raises(PlaceUnavailable):
        await rows(place)

    assert (place.at_a_time, place.asked < 100) == (0, True)


async def test_the_newest_come_first_and_those_without_a_time_last() -> None:
    place = MemoryPlace()
    for tag, created in (("old", "2023-01-01T00:00:00Z"), ("none", ""), ("new", "2024-01-01T00:00:00Z")):
        place.add(APP, image([random_layer(9, 1)], created=created), tag)
    place.add("a/b", image([random_layer(9, 1)], created="2024-01-01T00:00:00Z"), "new")

    found = newest_first(await rows(place))

    assert [(row.repository, row.tag) for row in found] == [("a/b", "new"), (APP, "new"), (APP, "old"), (APP, "none")]


async def test_answers_come_in_the_order_of_the_questions() -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(50):
            yield number

    async def slower_first(number: int) -> int:
        for _ in range(50 - number):
            await asyncio.sleep(0)
        return number

    assert [number async for number in in_order(slower_first, numbers())] == list(range(50))
