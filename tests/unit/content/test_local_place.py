"""Our own storage as a place: what goes in comes out, whole, and nothing wrong becomes visible."""

from collections.abc import AsyncIterator

import pytest

from registry.content.digest import Digest
from registry.content.errors import BlobUnknown, DigestInvalid, ManifestUnknown, NameUnknown, SizeInvalid
from registry.content.local_place import LocalPlace
from registry.content.manifest_store import StoredManifest
from registry.content.names import RepositoryName, Tag
from registry.content.places import Removable, Source, Target
from registry.content.repository import Registry
from storage_backends.memory import MemoryBackend
from tests.images import Content, Image, artifact, random_bytes, random_image


@pytest.fixture
def place(registry: Registry) -> LocalPlace:
    """The registry as a place."""
    return LocalPlace(registry)


async def _blocks(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _stored(content: Content) -> StoredManifest:
    return StoredManifest(Digest.parse(content.digest), content.media_type, content.data)


async def _push(place: LocalPlace, name: RepositoryName, image: Image, *tags: str) -> Digest:
    for blob in image.blobs:
        await place.put_blob(name, Digest.parse(blob.digest), len(blob.data), _blocks(blob.data))
    await place.put_manifest(name, _stored(image.manifest), [Tag(tag) for tag in tags])
    return Digest.parse(image.manifest.digest)


async def _read(place: LocalPlace, name: RepositoryName, digest: Digest, start: int = 0) -> bytes:
    async with place.blob(name, digest, start) as opened:
        return b"".join([block async for block in opened.blocks])


def test_it_is_a_source_and_a_target_and_things_can_be_removed_from_it(place: LocalPlace) -> None:
    roles: tuple[Source, Target, Removable] = (place, place, place)

    assert roles  # what each has to have is checked by the type checker


async def test_an_image_that_was_put_can_be_listed_and_read(place: LocalPlace, name: RepositoryName) -> None:
    image = random_image(1, layer_size=700_000)

    digest = await _push(place, name, image, "v1", "v2")

    assert [found async for found in place.repositories()] == [name]
    assert [tag async for tag in place.tags(name)] == ["v1", "v2"]
    assert await place.resolve(name, Tag("v1")) == digest
    assert await place.manifest(name, digest) == _stored(image.manifest)
    assert await place.has_manifest(name, digest)
    layer = image.layers[0]
    assert await place.has_blob(name, Digest.parse(layer.digest))
    assert await _read(place, name, Digest.parse(layer.digest)) == layer.data
    assert await _read(place, name, Digest.parse(layer.digest), 600_000) == layer.data[600_000:]


async def test_what_is_not_there_is_said_in_the_words_of_the_domain(place: LocalPlace, name: RepositoryName) -> None:
    digest = Digest.of(b"nothing")

    assert not await place.has_manifest(name, digest)
    assert not await place.has_blob(name, digest)
    assert not await place.mount(name, digest, RepositoryName("other/app"))
    with pytest.raises(ManifestUnknown):
        await place.resolve(name, digest)
    with pytest.raises(BlobUnknown):
        await _read(place, name, digest)
    with pytest.raises(NameUnknown):
        [tag async for tag in place.tags(name)]


@pytest.mark.parametrize(
    ("data", "size", "error"),
    [
        (b"x" * 1000, 999, SizeInvalid),
        (b"x" * 1000, 1001, SizeInvalid),
        (b"y" * 1000, 1000, DigestInvalid),
        (b"x" * 2_000_000, 1000, SizeInvalid),
    ],
)
async def test_a_blob_of_another_size_or_digest_leaves_nothing(
    place: LocalPlace, backend: MemoryBackend, name: RepositoryName, data: bytes, size: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await place.put_blob(name, Digest.of(b"x" * 1000), size, _blocks(data))

    assert (await backend.list("")).entries == ()


async def test_a_source_that_fails_in_the_middle_leaves_nothing(
    place: LocalPlace, backend: MemoryBackend, name: RepositoryName
) -> None:
    data = random_bytes(1_000_000, 3)

    async def broken() -> AsyncIterator[bytes]:
        yield data[:500_000]
        raise ConnectionResetError("cut")

    with pytest.raises(ConnectionResetError):
        await place.put_blob(name, Digest.of(data), len(data), broken())
    assert (await backend.list("")).entries == ()


async def test_reading_does_not_count_as_a_pull(place: LocalPlace, registry: Registry, name: RepositoryName) -> None:
    digest = await _push(place, name, random_image(4), "v1")

    await place.manifest(name, Tag("v1"))

    assert await registry.pulls.write() == 0
    assert not await registry.pulls.last(name, digest)


async def test_referrers_are_listed_with_what_they_are(place: LocalPlace, name: RepositoryName) -> None:
    subject = random_image(5)
    await _push(place, name, subject)
    signature = artifact(b"signature", "application/vnd.test.signature", subject=subject.manifest)
    await _push(place, name, signature)

    found = [referrer async for referrer in place.referrers(name, Digest.parse(subject.manifest.digest))]

    assert [str(referrer.digest) for referrer in found] == [signature.manifest.digest]
    assert found[0].artifact_type == "application/vnd.test.signature"
    assert found[0].size == len(signature.manifest.data)


async def test_what_was_deleted_is_gone(place: LocalPlace, name: RepositoryName) -> None:
    digest = await _push(place, name, random_image(6), "v1", "v2")

    await place.delete_tag(name, Tag("v1"))
    assert [tag async for tag in place.tags(name)] == ["v2"]
    await place.delete_manifest(name, digest)
    assert not await place.has_manifest(name, digest)
