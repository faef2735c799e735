"""Lost bytes are asked for under the other place's names, and its failures come in the domain's words."""

from typing import NoReturn

import pytest

from registry.content.digest import Digest
from registry.content.errors import NameUnknown, PlaceUnavailable
from registry.content.names import Reference, RepositoryName
from registry.mirror.errors import RateLimited, UpstreamDenied
from registry.mirror.lost_bytes import LostBytes
from tests.images import random_image
from tests.unit.mirror.places import MemoryPlace

pytestmark = pytest.mark.anyio
_IMAGE = random_image(seed=1)
_MANIFEST, _LAYER = Digest.parse(_IMAGE.manifest.digest), Digest.parse(_IMAGE.layers[0].digest)


@pytest.fixture
def place() -> MemoryPlace:
    found = MemoryPlace()
    found.add("team/app", _IMAGE, "latest")
    return found


@pytest.mark.parametrize(
    ("prefix", "name"), [("", "team/app"), ("mirror/", "mirror/team/app"), ("a/b/", "a/b/team/app")]
)
async def test_a_place_is_asked_by_the_name_that_it_has_there(place: MemoryPlace, prefix: str, name: str) -> None:
    lost = LostBytes(place, prefix)

    assert (await lost.manifest(RepositoryName(name), _MANIFEST)).data == _IMAGE.manifest.data
    async with lost.blob(RepositoryName(name), _LAYER) as opened:
        assert b"".join([block async for block in opened.blocks]) == _IMAGE.layers[0].data


@pytest.mark.parametrize("name", ["team/app", "mirrored/team/app", "mirror"])
async def test_what_does_not_lie_below_the_prefix_is_not_there(place: MemoryPlace, name: str) -> None:
    with pytest.raises(NameUnknown):
        await LostBytes(place, "mirror/").manifest(RepositoryName(name), _MANIFEST)


@pytest.mark.parametrize("failure", [RateLimited("too many requests"), UpstreamDenied("log in")])
async def test_what_fails_there_comes_in_the_words_of_the_domain(failure: Exception) -> None:
    class Failing(MemoryPlace):
        def blob(self, name: RepositoryName, digest: Digest, start: int = 0) -> NoReturn:
            raise failure

        async def manifest(self, name: RepositoryName, reference: Reference) -> NoReturn:
            raise failure

    lost = LostBytes(Failing())
    with pytest.raises(PlaceUnavailable, match=str(failure)):
        await lost.manifest(RepositoryName("a"), _MANIFEST)
    with pytest.raises(PlaceUnavailable, match=str(failure)):
        async with lost.blob(RepositoryName("a"), _LAYER):
            pass
