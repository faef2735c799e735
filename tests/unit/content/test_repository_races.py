"""Two requests on one manifest, brought together step by step: no acknowledged tag names nothing."""

import asyncio

import pytest

from registry.content import keyspace, mediatypes
from registry.content.digest import Digest
from registry.content.errors import ManifestUnknown, NameUnknown, TagChanged, TagImmutable
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.memory import MemoryBackend
from tests.unit.content.documents import descriptor, encoded, image, index
from tests.unit.content.pouring import Poured
from tests.unit.content.stepping import SteppingBackend

_DATA = encoded(index(subject=descriptor(b"subject")))
_DIGEST = Digest.of(_DATA)
_SUBJECT = Digest.of(b"subject")
_LATEST = Tag("latest")


@pytest.fixture
def stepping() -> SteppingBackend:
    return SteppingBackend(MemoryBackend())


async def _assert_whole(backend: SteppingBackend, name: RepositoryName) -> None:
    """The push was acknowledged, and the deletion came before it."""
    registry = Registry(backend, Rules())
    assert (await registry.get_manifest(name, _LATEST)).data == _DATA
    page = await registry.referrers(name, _SUBJECT, None, "", 10)
    assert [entry["digest"] for entry in page.descriptors] == [str(_DIGEST)]


async def _assert_consistent(backend: SteppingBackend, name: RepositoryName) -> None:
    """Every tag that is listed can be pulled, and what can be pulled is listed as a referrer."""
    registry = Registry(backend, Rules())
    try:
        tags = (await registry.tags(name, "", 10)).names
    except NameUnknown:
        tags = ()
    for text in tags:
        assert (await registry.get_manifest(name, Tag(text))).data == _DATA
    page = await registry.referrers(name, _SUBJECT, None, "", 10)
    try:
        await registry.get_manifest(name, _DIGEST)
    except ManifestUnknown:
        assert page.descriptors == ()
    else:
        assert [entry["digest"] for entry in page.descriptors] == [str(_DIGEST)]


# before which of its calls the deletion stands still while the whole push runs
_DELETION = [
    ("children", "tags/"),
    ("delete", "revisions/"),
    ("delete", "_referrers/"),
]


@pytest.mark.parametrize(("verb", "part"), _DELETION)
async def test_a_push_in_the_middle_of_a_deletion_leaves_no_tag_to_nowhere(
    stepping: SteppingBackend, name: RepositoryName, verb: str, part: str
) -> None:
    one, two = Registry(stepping, Rules()), Registry(stepping, Rules())
    await one.put_manifest(name, _LATEST, _DATA, None)
    await one.referrers(name, _SUBJECT, None, "", 10)
    stop = stepping.stop_before(verb, part)

    deletion = asyncio.create_task(one.delete_manifest(name, _DIGEST))
    await stop.reached.wait()
    await two.put_manifest(name, _LATEST, _DATA, None)
    stop.go_on.set()
    await deletion

    await _assert_consistent(stepping, name)


@pytest.mark.parametrize(("verb", "part"), _DELETION[:2])
async def test_an_immutable_tag_that_is_pushed_in_the_middle_of_a_deletion_stays(
    stepping: SteppingBackend, name: RepositoryName, verb: str, part: str
) -> None:
    release = Tag("v1")
    one, two = (Registry(stepping, Rules(), lambda _: release.__eq__) for _ in range(2))
    await one.put_manifest(name, _LATEST, _DATA, None)
    looked = stepping.stop_before("children", "tags/")

    deletion = asyncio.create_task(one.delete_manifest(name, _DIGEST))
    await looked.reached.wait()
    stop = stepping.stop_before(verb, part)
    looked.go_on.set()
    await stop.reached.wait()
    await two.put_manifest(name, release, _DATA, None)
    stop.go_on.set()

    with pytest.raises(TagImmutable):
        await deletion
    assert (await one.get_manifest(name, release)).data == _DATA
    await _assert_consistent(stepping, name)


async def test_a_push_after_the_link_was_deleted_stays_whole(stepping: SteppingBackend, name: RepositoryName) -> None:
    """The deletion looks for tags a second time; what it finds then may have come with the manifest itself."""
    one, two = Registry(stepping, Rules()), Registry(stepping, Rules())
    await one.put_manifest(name, _LATEST, _DATA, None)
    await one.referrers(name, _SUBJECT, None, "", 10)
    gone = stepping.stop_before("delete", "revisions/")

    deletion = asyncio.create_task(one.delete_manifest(name, _DIGEST))
    await gone.reached.wait()
    again = stepping.stop_before("children", "tags/")
    gone.go_on.set()
    await again.reached.wait()
    await two.put_manifest(name, _LATEST, _DATA, None)
    again.go_on.set()
    await deletion

    await _assert_whole(stepping, name)


async def test_a_referrer_pushed_while_its_entry_is_being_removed_is_listed(
    stepping: SteppingBackend, name: RepositoryName
) -> None:
    one, two = Registry(stepping, Rules()), Registry(stepping, Rules())
    await one.put_manifest(name, _LATEST, _DATA, None)
    await one.referrers(name, _SUBJECT, None, "", 10)
    stop = stepping.stop_before("delete", "_referrers/")

    deletion = asyncio.create_task(one.delete_manifest(name, _DIGEST))
    await stop.reached.wait()
    await two.put_manifest(name, _LATEST, _DATA, None)
    stop.go_on.set()
    await deletion

    await _assert_whole(stepping, name)


# before which of its calls the push stands still while the whole deletion runs
_PUSH = [
    ("put", "_referrers/"),
    ("put_many", "revisions/"),
    ("put_many", "tags/"),
    ("stat", "revisions/"),
]


@pytest.mark.parametrize(("verb", "part"), _PUSH)
@pytest.mark.parametrize("was_there", [True, False])
async def test_a_deletion_in_the_middle_of_a_push_takes_nothing_from_it(
    stepping: SteppingBackend, name: RepositoryName, verb: str, part: str, was_there: bool
) -> None:
    one, two = Registry(stepping, Rules()), Registry(stepping, Rules())
    if was_there:
        await one.put_manifest(name, Tag("old"), _DATA, None)
    await one.referrers(name, _SUBJECT, None, "", 10)
    stop = stepping.stop_before(verb, part)

    push = asyncio.create_task(two.put_manifest(name, _LATEST, _DATA, None))
    await stop.reached.wait()
    try:
        await one.delete_manifest(name, _DIGEST)
    except ManifestUnknown:
        assert not was_there
    stop.go_on.set()
    await push

    await _assert_whole(stepping, name)


async def test_a_tag_moved_while_its_old_manifest_is_deleted_names_the_new_one(
    stepping: SteppingBackend, name: RepositoryName
) -> None:
    one, two = Registry(stepping, Rules()), Registry(stepping, Rules())
    await one.put_manifest(name, _LATEST, _DATA, None)
    new = encoded(index(number=2))
    stop = stepping.stop_before("list", "tags/latest/")

    deletion = asyncio.create_task(one.delete_manifest(name, _DIGEST))
    await stop.reached.wait()
    await two.put_manifest(name, _LATEST, new, None)
    stop.go_on.set()
    await deletion

    stored = await Registry(stepping, Rules()).get_manifest(name, _LATEST)
    assert stored.data == new


async def test_the_last_of_two_pushes_of_one_tag_wins_whole(stepping: SteppingBackend, name: RepositoryName) -> None:
    one, two = Registry(stepping, Rules()), Registry(stepping, Rules())
    new = encoded(index(number=2))
    stop = stepping.stop_before("put_many", "tags/")

    slow = asyncio.create_task(one.put_manifest(name, _LATEST, _DATA, None))
    await stop.reached.wait()
    await two.put_manifest(name, _LATEST, new, None)
    assert (await two.get_manifest(name, _LATEST)).data == new
    stop.go_on.set()
    await slow

    assert (await two.get_manifest(name, _LATEST)).data == _DATA
    for data in (_DATA, new):
        assert (await two.get_manifest(name, Digest.of(data))).data == data


async def test_no_step_of_a_push_shows_a_tag_whose_manifest_is_not_there(
    stepping: SteppingBackend, name: RepositoryName
) -> None:
    registry = Registry(stepping, Rules())
    await registry.put_manifest(name, _LATEST, _DATA, None)

    changes = [keys for verb, keys in stepping.calls if verb in ("put", "put_many")]
    flat = [key for keys in changes for key in keys]
    assert flat.index(keyspace.blob(_DIGEST)) < flat.index(keyspace.revision_link(name, _DIGEST))
    assert flat.index(keyspace.revision_link(name, _DIGEST)) < flat.index(keyspace.tag_current(name, _LATEST))
    assert flat.index(keyspace.referrer(name, _SUBJECT, _DIGEST)) < flat.index(keyspace.revision_link(name, _DIGEST))


_TYPES = (mediatypes.OCI_MANIFEST, mediatypes.DOCKER_MANIFEST)


async def _push_silent(registry: Registry, name: RepositoryName, media_type: str) -> Digest:
    """Push a manifest whose bytes do not say what it is."""
    await registry.uploads.push(name, Digest.of(b"{}"), Poured(b"{}"))
    return (await registry.put_manifest(name, _LATEST, encoded(image(mediaType=None)), media_type)).digest


@pytest.mark.parametrize("before", _TYPES)
@pytest.mark.parametrize("after", _TYPES)
async def test_a_push_after_the_link_was_deleted_keeps_its_media_type(
    stepping: SteppingBackend, name: RepositoryName, before: str, after: str
) -> None:
    one, two = Registry(stepping, Rules()), Registry(stepping, Rules())
    for media_type in (mediatypes.DOCKER_MANIFEST, before):
        digest = await _push_silent(two, name, media_type)
    gone = stepping.stop_before("delete", "revisions/")

    deletion = asyncio.create_task(one.delete_manifest(name, digest))
    await gone.reached.wait()
    stop = stepping.stop_before("children", "tags/")
    gone.go_on.set()
    await stop.reached.wait()
    await _push_silent(two, name, after)
    stop.go_on.set()
    await deletion

    assert (await one.get_manifest(name, _LATEST)).media_type == after


async def test_a_push_that_expects_what_a_tag_names_loses_to_one_that_comes_first(
    stepping: SteppingBackend, name: RepositoryName
) -> None:
    one, two = Registry(stepping, Rules()), Registry(stepping, Rules())
    new = encoded(index(number=2))
    stop = stepping.stop_before("put", "tags/latest/current")

    slow = asyncio.create_task(one.put_manifest(name, _LATEST, _DATA, None, expected=lambda found: found is None))
    await stop.reached.wait()
    await two.put_manifest(name, _LATEST, new, None)
    stop.go_on.set()

    with pytest.raises(TagChanged):
        await slow
    assert (await two.get_manifest(name, _LATEST)).data == new


async def test_a_deletion_in_the_middle_of_a_push_that_expects_something_takes_nothing_from_it(
    stepping: SteppingBackend, name: RepositoryName
) -> None:
    one, two = Registry(stepping, Rules()), Registry(stepping, Rules())
    await one.put_manifest(name, Tag("old"), _DATA, None)
    await one.referrers(name, _SUBJECT, None, "", 10)
    stop = stepping.stop_before("put", "tags/latest/current")

    push = asyncio.create_task(two.put_manifest(name, _LATEST, _DATA, None, expected=lambda found: found is None))
    await stop.reached.wait()
    await one.delete_manifest(name, _DIGEST)
    stop.go_on.set()
    await push

    await _assert_whole(stepping, name)


async def test_a_deletion_that_expects_what_a_tag_names_leaves_one_that_is_moved_meanwhile(
    stepping: SteppingBackend, name: RepositoryName
) -> None:
    one, two = Registry(stepping, Rules()), Registry(stepping, Rules())
    await one.put_manifest(name, _LATEST, _DATA, None)
    new = encoded(index(number=2))
    stop = stepping.stop_before("delete", "tags/latest/current")

    deletion = asyncio.create_task(one.delete_tag(name, _LATEST, expected=lambda found: found == _DIGEST))
    await stop.reached.wait()
    await two.put_manifest(name, _LATEST, new, None)
    stop.go_on.set()

    with pytest.raises(TagChanged):
        await deletion
    assert (await two.get_manifest(name, _LATEST)).data == new
