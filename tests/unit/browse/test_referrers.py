"""The tree of what refers to an image."""

import pytest

from registry.browse.referrers import Node, Tree
from registry.content.digest import Digest
from registry.content.names import RepositoryName
from tests.images import artifact, random_image
from tests.unit.mirror.places import MemoryPlace

pytestmark = pytest.mark.anyio
APP = RepositoryName("team/app")
ONE = random_image(1)
SBOM = artifact(b"sbom", "application/sbom", subject=ONE.manifest)
SIGNATURE = artifact(b"signature", "application/signature", subject=SBOM.manifest)
SUBJECT = Digest.parse(ONE.manifest.digest)


def shown(nodes: "tuple[Node, ...] | list[Node]") -> list[object]:
    return [(node.referrer.artifact_type, str(node.tag or ""), shown(list(node.referrers))) for node in nodes]


@pytest.fixture
def place() -> MemoryPlace:
    found = MemoryPlace()
    for value in (ONE, SBOM, SIGNATURE):
        found.add(APP, value)
    return found


async def test_referrers_of_referrers_stand_below_them(place: MemoryPlace) -> None:
    found = await Tree(place, APP).below(SUBJECT)

    assert shown(list(found)) == [("application/sbom", "", [("application/signature", "", [])])]


async def test_of_one_type_those_above_it_are_shown_as_well(place: MemoryPlace) -> None:
    place.add(APP, artifact(b"other", "application/other", subject=ONE.manifest))

    found = await Tree(place, APP, "application/signature").below(SUBJECT)

    assert shown(list(found)) == [("application/sbom", "", [("application/signature", "", [])])]


async def test_signatures_of_old_cosign_are_found_by_their_tag(place: MemoryPlace) -> None:
    place.add(APP, artifact(b"old", "application/old"), f"sha256-{SUBJECT.encoded}.sig")

    found = await Tree(place, APP).below(SUBJECT)

    assert ("application/old", f"sha256-{SUBJECT.encoded}.sig", []) in shown(list(found))


async def test_an_image_of_sha512_has_its_referrers(place: MemoryPlace) -> None:
    subject = Digest.of(ONE.manifest.data, "sha512")

    assert list(await Tree(place, APP).below(subject)) == []


async def test_an_image_without_any_has_none(place: MemoryPlace) -> None:
    assert list(await Tree(place, APP).below(Digest.of(b"nobody's"))) == []
