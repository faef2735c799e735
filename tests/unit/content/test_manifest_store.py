"""Manifests come back byte for byte, under the media type that they were pushed with, as long as they are there."""

import pytest

from registry.content import keyspace, mediatypes
from registry.content.digest import Digest
from registry.content.errors import ContentCorrupt, ManifestUnknown
from registry.content.manifest_store import ManifestStore
from registry.content.names import RepositoryName
from storage_backends.memory import MemoryBackend
from tests.unit.content.documents import encoded, image, index

_CLAIMED = encoded(image())
_SILENT = encoded(image(mediaType=None))


@pytest.fixture
def manifests(backend: MemoryBackend) -> ManifestStore:
    return ManifestStore(backend)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (_CLAIMED, mediatypes.OCI_MANIFEST),
        (_SILENT, mediatypes.OCI_MANIFEST),
        (_SILENT, mediatypes.DOCKER_MANIFEST),
        (encoded(index(mediaType=None)), mediatypes.DOCKER_LIST),
        (b" \n" + _CLAIMED + b"\n ", mediatypes.OCI_MANIFEST),
    ],
)
async def test_a_manifest_comes_back_as_it_was_pushed(
    *,
    backend: MemoryBackend,
    manifests: ManifestStore,
    name: RepositoryName,
    data: bytes,
    media_type: str,
    algorithm: str,
) -> None:
    digest = Digest.of(data, algorithm)

    await manifests.put(name, digest, data, media_type)

    for store in (manifests, ManifestStore(backend)):
        stored = await store.get(name, digest)
        assert (stored.digest, stored.media_type, stored.data) == (digest, media_type, data)
        assert await store.has(name, digest)


async def test_the_media_type_of_the_last_push_counts(manifests: ManifestStore, name: RepositoryName) -> None:
    digest = Digest.of(_SILENT)

    for media_type in (mediatypes.OCI_MANIFEST, mediatypes.DOCKER_MANIFEST, mediatypes.OCI_MANIFEST):
        await manifests.put(name, digest, _SILENT, media_type)

        assert (await manifests.get(name, digest)).media_type == media_type


async def test_a_media_type_that_says_nothing_new_is_not_kept(
    backend: MemoryBackend, manifests: ManifestStore, name: RepositoryName
) -> None:
    for data in (_CLAIMED, _SILENT):
        await manifests.put(name, Digest.of(data), data, mediatypes.OCI_MANIFEST)

    assert (await backend.list("cargohold/")).entries == ()


@pytest.mark.parametrize("damaged", [b"", b"\xff", b"text\r\nX: y"])
async def test_a_kept_media_type_that_is_damaged_counts_as_none(
    backend: MemoryBackend, manifests: ManifestStore, name: RepositoryName, damaged: bytes
) -> None:
    digest = Digest.of(_SILENT)
    await manifests.put(name, digest, _SILENT, mediatypes.DOCKER_MANIFEST)
    await backend.put(keyspace.media_type(name, digest), damaged)

    assert (await manifests.get(name, digest)).media_type == mediatypes.OCI_MANIFEST


async def test_a_repository_is_a_border(manifests: ManifestStore, name: RepositoryName) -> None:
    digest = Digest.of(_CLAIMED)
    await manifests.put(name, digest, _CLAIMED, mediatypes.OCI_MANIFEST)
    other = RepositoryName.parse("other")

    assert not await manifests.has(other, digest)
    with pytest.raises(ManifestUnknown, match=f"manifest {digest} is not in repository other"):
        await manifests.get(other, digest)


@pytest.mark.parametrize("link", [b"", b"sha256:", str(Digest.of(_CLAIMED)).encode()[:-1]])
async def test_a_link_that_a_crash_left_unfinished_is_none(
    backend: MemoryBackend, manifests: ManifestStore, name: RepositoryName, link: bytes
) -> None:
    digest = Digest.of(_CLAIMED)
    await manifests.put(name, digest, _CLAIMED, mediatypes.OCI_MANIFEST)
    await backend.put(keyspace.revision_link(name, digest), link)

    assert not await manifests.has(name, digest)
    with pytest.raises(ManifestUnknown):
        await manifests.get(name, digest)


@pytest.mark.parametrize("gone", ["bytes", "link"])
async def test_what_was_deleted_beneath_us_is_gone_at_once(
    backend: MemoryBackend, manifests: ManifestStore, name: RepositoryName, gone: str
) -> None:
    """distribution #3743, #4569: nothing remembered answers for what is there."""
    digest = Digest.of(_CLAIMED)
    await manifests.put(name, digest, _CLAIMED, mediatypes.OCI_MANIFEST)
    await manifests.get(name, digest)

    await backend.delete(keyspace.blob(digest) if gone == "bytes" else keyspace.revision_link(name, digest))

    assert not await manifests.has(name, digest)
    with pytest.raises(ManifestUnknown):
        await manifests.get(name, digest)


async def test_bytes_at_rest_that_changed_are_not_served(backend: MemoryBackend, name: RepositoryName) -> None:
    digest = Digest.of(_CLAIMED)
    await ManifestStore(backend).put(name, digest, _CLAIMED, mediatypes.OCI_MANIFEST)
    await backend.put(keyspace.blob(digest), _SILENT)

    with pytest.raises(ContentCorrupt, match="push the manifest again"):
        await ManifestStore(backend).get(name, digest)

    await ManifestStore(backend).put(name, digest, _CLAIMED, mediatypes.OCI_MANIFEST)
    assert (await ManifestStore(backend).get(name, digest)).data == _CLAIMED


async def test_bytes_that_rot_after_they_were_served_are_served_no_more(
    backend: MemoryBackend, manifests: ManifestStore, name: RepositoryName
) -> None:
    digest = Digest.of(_CLAIMED)
    await manifests.put(name, digest, _CLAIMED, mediatypes.OCI_MANIFEST)
    await manifests.get(name, digest)
    await backend.put(keyspace.blob(digest), _SILENT)

    with pytest.raises(ContentCorrupt, match="push the manifest again"):
        await manifests.get(name, digest)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (encoded({"schemaVersion": 1, "signatures": []}), mediatypes.SCHEMA_1_SIGNED),
        (_SILENT, mediatypes.OCI_MANIFEST),
        (b"never was JSON", mediatypes.OCI_MANIFEST),
    ],
)
async def test_what_an_older_registry_stored_is_served_by_its_own_words(
    backend: MemoryBackend, manifests: ManifestStore, name: RepositoryName, data: bytes, media_type: str
) -> None:
    digest = Digest.of(data)
    await backend.put(keyspace.blob(digest), data)
    await backend.put(keyspace.revision_link(name, digest), str(digest).encode())

    stored = await manifests.get(name, digest)

    assert (stored.media_type, stored.data) == (media_type, data)


async def test_more_manifests_than_are_remembered_are_all_served(
    manifests: ManifestStore, name: RepositoryName
) -> None:
    digests = []
    for number in range(4200):
        data = encoded(index(number=number))
        digests.append(Digest.of(data))
        await manifests.put(name, digests[-1], data, mediatypes.OCI_INDEX)

    for digest in digests:
        assert Digest.of((await manifests.get(name, digest)).data) == digest


async def test_removing_takes_the_link_and_leaves_the_rest_to_garbage_collection(
    backend: MemoryBackend, manifests: ManifestStore, name: RepositoryName
) -> None:
    digest = Digest.of(_SILENT)
    await manifests.put(name, digest, _SILENT, mediatypes.DOCKER_MANIFEST)

    await manifests.remove(name, digest)

    left = (await backend.list("")).entries
    assert left == (keyspace.media_type(name, digest), keyspace.blob(digest))
    await manifests.put(name, digest, _SILENT, mediatypes.OCI_MANIFEST)
    assert (await manifests.get(name, digest)).media_type == mediatypes.OCI_MANIFEST
