"""Referrers: every manifest that names a subject and is there, once, in order, page by page; nothing else."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from registry.content import keyspace, mediatypes
from registry.content.digest import Digest
from registry.content.manifest_store import ManifestStore
from registry.content.manifests import parse_manifest
from registry.content.names import RepositoryName, Tag
from registry.content.referrer_index import ReferrerIndex
from registry.content.tag_store import TagStore
from storage_backends.base import StorageBackend
from storage_backends.filesystem import FilesystemBackend
from storage_backends.memory import MemoryBackend
from tests.unit.content.documents import CONFIG_TYPE, Document, descriptor, encoded, image, index
from tests.unit.content.stepping import SteppingBackend

_SUBJECT_DATA = encoded(image(b"subject"))
_SUBJECT = Digest.of(_SUBJECT_DATA)
_ALL = 1_000_000


@pytest.fixture
def referrers(backend: MemoryBackend) -> ReferrerIndex:
    return _index(backend)


def _index(backend: StorageBackend) -> ReferrerIndex:
    return ReferrerIndex(backend, ManifestStore(backend), TagStore(backend))


def _referrer(number: int, **more: object) -> bytes:
    subject = descriptor(_SUBJECT_DATA, mediatypes.OCI_MANIFEST)
    return encoded({**image(str(number).encode()), "subject": subject, **more})


async def _store(backend: StorageBackend, name: RepositoryName, data: bytes) -> Digest:
    """As another registry stores a manifest: no word to our index."""
    digest = Digest.of(data)
    media_type = parse_manifest(data, None).media_type
    await ManifestStore(backend).put(name, digest, data, media_type)
    return digest


async def _push(backend: StorageBackend, name: RepositoryName, data: bytes) -> Digest:
    """As we do."""
    await _index(backend).add(name, Digest.of(data), len(data), parse_manifest(data, None))
    return await _store(backend, name, data)


async def _tag_schema(backend: StorageBackend, name: RepositoryName, manifests: Sequence[Mapping[str, object]]) -> None:
    """As clients do where there is no referrers API."""
    digest = await _store(backend, name, encoded(index(manifests)))
    await TagStore(backend).move(name, Tag(f"sha256-{_SUBJECT.encoded}"), digest)


async def _listed(backend: StorageBackend, name: RepositoryName) -> list[str]:
    page = await _index(backend).page(name, _SUBJECT, None, "", _ALL)
    assert page.last is None
    return [str(entry["digest"]) for entry in page.descriptors]


async def test_a_referrer_is_listed_with_all_that_the_spec_wants(
    backend: MemoryBackend, referrers: ReferrerIndex, name: RepositoryName
) -> None:
    """distribution-spec, "Listing Referrers"."""
    data = _referrer(1, artifactType="application/x-signature", annotations={"made": "früh", "by": "us"})
    digest = await _push(backend, name, data)

    page = await referrers.page(name, _SUBJECT, None, "", 10)

    assert page.last is None
    assert page.descriptors == (
        {
            "mediaType": mediatypes.OCI_MANIFEST,
            "digest": str(digest),
            "size": len(data),
            "artifactType": "application/x-signature",
            "annotations": {"made": "früh", "by": "us"},
        },
    )


async def test_an_image_is_called_after_its_config_and_an_index_has_no_artifact_type(
    backend: MemoryBackend, referrers: ReferrerIndex, name: RepositoryName
) -> None:
    await _push(backend, name, _referrer(1))
    await _push(backend, name, encoded(index(subject=descriptor(_SUBJECT_DATA, mediatypes.OCI_MANIFEST))))

    page = await referrers.page(name, _SUBJECT, None, "", 10)

    types = {entry["mediaType"]: entry.get("artifactType", "absent") for entry in page.descriptors}
    assert types == {mediatypes.OCI_MANIFEST: CONFIG_TYPE, mediatypes.OCI_INDEX: "absent"}


async def test_the_filter_keeps_one_artifact_type(
    backend: MemoryBackend, referrers: ReferrerIndex, name: RepositoryName
) -> None:
    wanted = {str(await _push(backend, name, _referrer(n, artifactType="application/x-one"))) for n in range(5)}
    for number in range(5, 10):
        await _push(backend, name, _referrer(number, artifactType="application/x-two"))

    page = await referrers.page(name, _SUBJECT, "application/x-one", "", 10)

    assert {entry["digest"] for entry in page.descriptors} == wanted
    assert (await referrers.page(name, _SUBJECT, "application/x-none", "", 10)).descriptors == ()


async def test_following_the_pages_gives_every_referrer_once_and_in_order(
    backend: MemoryBackend, referrers: ReferrerIndex, name: RepositoryName
) -> None:
    for number in range(25):
        await _push(backend, name, _referrer(number, artifactType=f"application/x-{number % 2}"))

    for wanted, count in ((None, 25), ("application/x-0", 13)):
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            page = await referrers.page(name, _SUBJECT, wanted, after, 4)
            found += [str(entry["digest"]) for entry in page.descriptors]
            assert len(page.descriptors) == 4 or page.last is None
            after = page.last
        assert len(found) == count
        assert found == sorted(set(found))


async def test_a_page_of_nothing_is_empty_and_has_no_next(
    backend: MemoryBackend, referrers: ReferrerIndex, name: RepositoryName
) -> None:
    await _push(backend, name, _referrer(1))

    page = await referrers.page(name, _SUBJECT, None, "", 0)

    assert (page.descriptors, page.last) == ((), None)


async def test_a_page_is_no_larger_than_what_clients_read(
    backend: MemoryBackend, referrers: ReferrerIndex, name: RepositoryName
) -> None:
    """Clients read manifests of up to 4 MiB, and a page of referrers is one. One referrer always fits a page."""
    digests = [
        await _push(backend, name, _referrer(number, annotations={"text": letter * 3_000_000}))
        for number, letter in enumerate("aböc")
    ]
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await referrers.page(name, _SUBJECT, None, after, _ALL)
        assert len(page.descriptors) == 1
        found += [str(entry["digest"]) for entry in page.descriptors]
        after = page.last

    assert found == sorted(map(str, digests))


@pytest.mark.parametrize("damaged", [b"", b"[]", b"\xff", b'{"digest"'])
async def test_a_damaged_entry_is_listed_as_its_manifest_says(
    backend: MemoryBackend, name: RepositoryName, damaged: bytes
) -> None:
    digest = await _push(backend, name, _referrer(1))
    before = await _index(backend).page(name, _SUBJECT, None, "", _ALL)
    await backend.put(keyspace.referrer(name, _SUBJECT, digest), damaged)

    assert await _index(backend).page(name, _SUBJECT, None, "", _ALL) == before


async def test_entries_whose_manifest_is_gone_are_left_out(backend: MemoryBackend, name: RepositoryName) -> None:
    staying, going = await _push(backend, name, _referrer(1)), await _push(backend, name, _referrer(2))

    await ManifestStore(backend).remove(name, going)

    assert await _listed(backend, name) == [str(staying)]


async def test_an_entry_whose_manifest_never_came_is_left_out(backend: MemoryBackend, name: RepositoryName) -> None:
    data = _referrer(1)
    await _index(backend).add(name, Digest.of(data), len(data), parse_manifest(data, None))

    assert await _listed(backend, name) == []


async def test_removing_takes_the_entry(backend: MemoryBackend, referrers: ReferrerIndex, name: RepositoryName) -> None:
    digest = await _push(backend, name, _referrer(1))
    stored = await ManifestStore(backend).get(name, digest)
    await ManifestStore(backend).remove(name, digest)

    await referrers.remove(name, stored)

    assert (await backend.list(keyspace.all_referrers(name))).entries == ()


async def test_referrers_belong_to_their_repository(backend: MemoryBackend, name: RepositoryName) -> None:
    await _push(backend, name, _referrer(1))

    assert await _listed(backend, RepositoryName.parse("other")) == []


async def test_manifests_that_lay_there_before_us_are_found_at_the_first_request(
    backend: MemoryBackend, name: RepositoryName
) -> None:
    digests = {str(await _store(backend, name, _referrer(number))) for number in range(150)}
    await _store(backend, name, _SUBJECT_DATA)

    assert set(await _listed(backend, name)) == digests


async def test_what_is_no_manifest_of_ours_does_not_hinder_adoption(
    backend: MemoryBackend, name: RepositoryName
) -> None:
    digest = await _store(backend, name, _referrer(1))
    for data in (b"not JSON", encoded({"schemaVersion": 1}), encoded({"subject": descriptor(_SUBJECT_DATA)})):
        await backend.put(keyspace.blob(Digest.of(data)), data)
        await backend.put(keyspace.revision_link(name, Digest.of(data)), str(Digest.of(data)).encode())
    gone = Digest.of(b"gone")
    await backend.put(keyspace.revision_link(name, gone), str(gone).encode())
    for stray in ("md5/00/link", "sha256/short/link", "sha256/file", "README"):
        await backend.put(keyspace.revisions(name) + stray, b"")

    assert await _listed(backend, name) == [str(digest)]


async def test_files_that_no_key_can_name_do_not_hinder_adoption(tmp_path: Path, name: RepositoryName) -> None:
    backend = FilesystemBackend(tmp_path)
    digest = await _store(backend, name, _referrer(1))
    for directory in ("", "sha256/", f"sha256/{digest.encoded}/"):
        (tmp_path / f"{keyspace.revisions(name)}{directory}.DS_Store").touch()

    assert await _listed(backend, name) == [str(digest)]


async def test_callers_at_the_same_time_share_the_adoption(name: RepositoryName) -> None:
    backend = SteppingBackend(MemoryBackend())
    await _store(backend, name, _referrer(1))
    referrers = _index(backend)

    pages = await asyncio.gather(*(referrers.page(name, _SUBJECT, None, "", 10) for _ in range(10)))
    assert all(len(page.descriptors) == 1 for page in pages)
    await referrers.page(name, _SUBJECT, None, "", 10)

    marks = [keys for verb, keys in backend.calls if verb == "put" and keys == (keyspace.referrers_complete(name),)]
    assert len(marks) == 1


async def test_adoption_goes_on_when_its_first_caller_gives_up(name: RepositoryName) -> None:
    backend = SteppingBackend(MemoryBackend())
    digest = await _store(backend, name, _referrer(1))
    referrers = _index(backend)
    stop = backend.stop_before("put", "_referrers_complete")
    first = asyncio.create_task(referrers.page(name, _SUBJECT, None, "", 10))
    await stop.reached.wait()
    second = asyncio.create_task(referrers.page(name, _SUBJECT, None, "", 10))
    await asyncio.sleep(0)

    first.cancel()
    stop.go_on.set()

    assert [entry["digest"] for entry in (await second).descriptors] == [str(digest)]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_manifest_pushed_during_the_adoption_is_listed_afterwards(name: RepositoryName) -> None:
    backend = SteppingBackend(MemoryBackend())
    old = await _store(backend, name, _referrer(1))
    stop = backend.stop_before("put", "_referrers_complete")
    listing = asyncio.create_task(_listed(backend, name))
    await stop.reached.wait()

    new = await _push(backend, name, _referrer(2))
    stop.go_on.set()

    assert sorted(await listing) == sorted(map(str, (old, new)))
    assert sorted(await _listed(backend, name)) == sorted(map(str, (old, new)))


async def test_asking_an_unknown_repository_for_referrers_stores_nothing(
    backend: MemoryBackend, name: RepositoryName
) -> None:
    """Anyone who may read could otherwise fill the storage with names."""
    assert await _listed(backend, name) == []

    assert (await backend.list("")).entries == ()


async def test_the_tag_schema_lists_what_another_registry_got_after_our_adoption(
    backend: MemoryBackend, name: RepositoryName
) -> None:
    """distribution-spec, "Referrers Tag Schema": the volume was handed to registry:2 for a while, and back."""
    ours = await _push(backend, name, _referrer(1))
    assert await _listed(backend, name) == [str(ours)]
    data = [_referrer(number) for number in (2, 3, 4)]
    theirs = [await _store(backend, name, each) for each in data]
    await _tag_schema(backend, name, [descriptor(each, mediatypes.OCI_MANIFEST) for each in (_referrer(1), *data)])

    assert await _listed(backend, name) == sorted(map(str, [ours, *theirs]))


_OTHER_SUBJECT: Document = descriptor(b"other", mediatypes.OCI_MANIFEST)


async def test_the_tag_schema_is_believed_only_where_the_manifest_says_so_too(
    backend: MemoryBackend, name: RepositoryName
) -> None:
    await _listed(backend, name)
    other = encoded(image(b"{}", (), subject=_OTHER_SUBJECT))
    without = encoded(image(b"x"))
    for data in (other, without):
        await _store(backend, name, data)
    gone = _referrer(5)
    await _tag_schema(
        backend, name, [descriptor(each, mediatypes.OCI_MANIFEST) for each in (other, without, gone, _SUBJECT_DATA)]
    )

    assert await _listed(backend, name) == []


@pytest.mark.parametrize("data", [_SUBJECT_DATA, encoded(index())])
async def test_a_tag_of_the_schema_that_lists_nothing_is_nothing(
    backend: MemoryBackend, name: RepositoryName, data: bytes
) -> None:
    await TagStore(backend).move(name, Tag(f"sha256-{_SUBJECT.encoded}"), await _store(backend, name, data))

    assert await _listed(backend, name) == []


async def test_the_tag_of_a_sha512_subject_is_cut_as_the_spec_says(
    backend: MemoryBackend, referrers: ReferrerIndex, name: RepositoryName
) -> None:
    subject = Digest.of(_SUBJECT_DATA, "sha512")
    await referrers.page(name, subject, None, "", 10)
    data = encoded(image(b"{}", (), subject=descriptor(_SUBJECT_DATA, mediatypes.OCI_MANIFEST, "sha512")))
    digest = await _store(backend, name, data)
    listing = await _store(backend, name, encoded(index([descriptor(data, mediatypes.OCI_MANIFEST)])))
    await backend.put(keyspace.referrers_complete(name), b"")
    await TagStore(backend).move(name, Tag(f"sha512-{subject.encoded[:64]}"), listing)

    page = await referrers.page(name, subject, None, "", 10)

    assert [entry["digest"] for entry in page.descriptors] == [str(digest)]


async def test_pages_of_both_sources_are_merged_without_a_gap_or_a_double(
    backend: MemoryBackend, referrers: ReferrerIndex, name: RepositoryName
) -> None:
    all_data = [_referrer(number) for number in range(40)]
    await _push(backend, name, all_data[0])
    await _listed(backend, name)
    for number, data in enumerate(all_data):
        await (_push if number % 3 == 0 else _store)(backend, name, data)
    await _tag_schema(backend, name, [descriptor(data, mediatypes.OCI_MANIFEST) for data in all_data if data])

    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await referrers.page(name, _SUBJECT, None, after, 7)
        found += [str(entry["digest"]) for entry in page.descriptors]
        after = page.last

    assert found == sorted(str(Digest.of(data)) for data in all_data)


async def test_a_rebuild_enters_what_the_pushes_had_entered(backend: MemoryBackend, name: RepositoryName) -> None:
    for number in range(3):
        await _push(backend, name, _referrer(number, annotations={"n": str(number)}))
    await _listed(backend, name)
    own = (await backend.list("cargohold/")).entries
    before = {key: json.loads((await backend.get(key)).data or b"null") for key in own}
    await backend.delete_many(own)

    assert await _index(backend).rebuild(name, dry_run=True) == 3
    assert (await backend.list("cargohold/")).entries == ()
    assert await _index(backend).rebuild(name) == 3

    entries = (await backend.list("cargohold/")).entries
    assert {key: json.loads((await backend.get(key)).data or b"null") for key in entries} == before


@pytest.mark.parametrize("stray", [".nfs0000001", "sha256:short", "lost+found/x"])
async def test_what_strays_among_the_entries_is_no_referrer(tmp_path: Path, name: RepositoryName, stray: str) -> None:
    backend = FilesystemBackend(tmp_path)
    expected = [str(await _push(backend, name, _referrer(number))) for number in range(2)]
    place = tmp_path / keyspace.referrers(name, _SUBJECT) / stray
    place.parent.mkdir(exist_ok=True)
    place.touch()

    page = await _index(backend).page(name, _SUBJECT, None, "", _ALL)

    assert [entry["digest"] for entry in page.descriptors] == sorted(expected)
