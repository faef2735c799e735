"""What goes with a name, and what stays because something needs it."""

import pytest

from registry.browse.removal import Conflict, Removal, look, look_at, remove
from registry.content.digest import Digest
from registry.content.errors import ManifestUnknown
from registry.content.names import Reference, RepositoryName, Tag, parse_reference
from tests.images import Image, Index, artifact, index, random_image
from tests.unit.mirror.places import MemoryPlace

pytestmark = pytest.mark.anyio
APP = RepositoryName("team/app")
ONE, TWO = random_image(1), random_image(2, architecture="arm64")
BOTH = index([ONE, TWO])


def digest(value: Image | Index) -> Digest:
    return Digest.parse(value.manifest.digest)


async def planned(place: MemoryPlace, *references: str, force: bool = False, keep: bool = False) -> list[Removal]:
    wanted: list[Reference] = [parse_reference(text) for text in references]
    repository = await (look_at if keep else look)(place, APP, wanted)
    going = repository.going(wanted, force=force)
    return [repository.plan(each, going, force=force, keep=keep) for each in repository.in_order(wanted)]


async def test_with_its_last_tag_an_image_goes() -> None:
    place = MemoryPlace()
    place.add(APP, ONE, "1")

    [removal] = await planned(place, "1")
    await remove(place, APP, removal)

    assert removal == Removal([Tag("1")], [digest(ONE)])
    assert place.calls == [f"delete {digest(ONE)}"]
    assert (place.at(APP).tags, place.at(APP).manifests) == ({}, {})


async def test_with_another_tag_an_image_stays() -> None:
    place = MemoryPlace()
    place.add(APP, ONE, "1", "latest")

    [removal] = await planned(place, "1")
    await remove(place, APP, removal)

    assert (removal.tags, removal.digests, removal.kept) == ([Tag("1")], (), "team/app:latest names it, too")
    assert place.at(APP).tags == {Tag("latest"): digest(ONE)}


async def test_with_all_of_its_tags_at_once_an_image_goes() -> None:
    place = MemoryPlace()
    place.add(APP, ONE, "1", "latest")

    for removal in await planned(place, "1", "latest"):
        await remove(place, APP, removal)

    assert place.calls == [f"delete {digest(ONE)}"]


async def test_an_image_that_an_index_needs_stays() -> None:
    place = MemoryPlace()
    place.add(APP, BOTH, "both")
    place.add(APP, ONE, "1")

    [removal] = await planned(place, "1")

    assert (removal.tags, removal.digests, removal.kept) == ([Tag("1")], (), "team/app:both needs it")


async def test_an_image_to_which_something_with_a_tag_refers_stays() -> None:
    place = MemoryPlace()
    place.add(APP, ONE, "1")
    place.add(APP, artifact(b"x", "a/b", subject=ONE.manifest), "sbom")

    [removal] = await planned(place, "1")

    assert removal.kept == "team/app:sbom needs it"


async def test_what_refers_to_an_image_goes_without_it() -> None:
    place = MemoryPlace()
    sbom = artifact(b"x", "a/b", subject=ONE.manifest)
    place.add(APP, ONE)
    place.add(APP, sbom, "sbom")

    [removal] = await planned(place, "sbom")

    assert removal.digests == [digest(sbom)]


async def test_an_index_goes_with_its_images_the_index_first() -> None:
    place = MemoryPlace()
    place.add(APP, BOTH, "both")

    [removal] = await planned(place, "both")

    assert removal.digests == [digest(BOTH), digest(ONE), digest(TWO)]


async def test_of_an_index_images_stay_that_something_else_needs() -> None:
    place = MemoryPlace()
    place.add(APP, BOTH, "both")
    place.add(APP, index([TWO]), "other")
    place.add(APP, ONE, "1")

    [removal] = await planned(place, "both")

    assert removal.digests == [digest(BOTH)]


async def test_by_digest_an_image_with_tags_goes_only_by_force() -> None:
    place = MemoryPlace()
    place.add(APP, ONE, "1", "latest")

    with pytest.raises(Conflict, match=r"must be forced\): it has tags, team/app:1, team/app:latest"):
        await planned(place, str(digest(ONE)))
    [removal] = await planned(place, str(digest(ONE)), force=True)

    assert removal == Removal([Tag("1"), Tag("latest")], [digest(ONE)])


async def test_by_digest_an_image_that_an_index_needs_goes_only_by_force() -> None:
    place = MemoryPlace()
    place.add(APP, BOTH, "both")

    with pytest.raises(Conflict, match="team/app:both needs it"):
        await planned(place, str(digest(ONE)))
    [removal] = await planned(place, str(digest(ONE)), force=True)

    assert removal == Removal([], [digest(ONE)])


async def test_what_an_index_in_conflict_holds_stays() -> None:
    place = MemoryPlace()
    place.add(APP, BOTH, "both")
    place.add(APP, ONE, "1")
    wanted: list[Reference] = [Tag("1"), digest(BOTH)]
    repository = await look(place, APP, wanted)

    going = repository.going(wanted, force=False)

    assert going == {Tag("1")}
    assert repository.plan(Tag("1"), going, force=False, keep=False).kept == "team/app:both needs it"
    with pytest.raises(Conflict):
        repository.plan(digest(BOTH), going, force=False, keep=False)


async def test_an_index_goes_before_its_images_however_they_are_named() -> None:
    place = MemoryPlace()
    place.add(APP, BOTH, "both")
    place.add(APP, ONE, "1")

    assert [removal.digests for removal in await planned(place, "1", "both")] == [
        [digest(BOTH), digest(ONE), digest(TWO)],
        [digest(ONE)],
    ]


async def test_a_tag_can_go_alone() -> None:
    place = MemoryPlace()
    place.add(APP, ONE, "1")

    assert await planned(place, "1", keep=True) == [Removal([Tag("1")])]


@pytest.mark.parametrize("reference", ["nope", "sha256:" + "0" * 64])
async def test_what_is_not_there_is_said(reference: str) -> None:
    place = MemoryPlace()
    place.add(APP, ONE, "1")

    with pytest.raises(ManifestUnknown):
        await planned(place, reference)


async def test_what_somebody_else_has_removed_meanwhile_is_gone_as_well() -> None:
    place = MemoryPlace()
    place.add(APP, BOTH, "both")
    place.add(APP, ONE, "1", "2")
    removals = [*await planned(place, "both"), *await planned(place, "1")]
    place.at(APP).manifests.clear()
    place.at(APP).tags.clear()

    for removal in removals:
        await remove(place, APP, removal)

    assert place.calls == []


@pytest.mark.parametrize("keep", [False, True])
async def test_a_tag_whose_manifest_is_gone_goes(keep: bool) -> None:
    place = MemoryPlace()
    place.add(APP, ONE, "ghost")
    place.add(APP, TWO, "1")
    del place.at(APP).manifests[digest(ONE)]

    [removal] = await planned(place, "ghost", keep=keep)
    await remove(place, APP, removal)

    assert removal == Removal([Tag("ghost")])
    assert place.at(APP).tags == {Tag("1"): digest(TWO)}
    with pytest.raises(ManifestUnknown):
        await planned(place, "never", keep=keep)
