"""A repository has a blob if its link is whole and the bytes are there; both are asked of the storage every time."""

import pytest

from registry.content import keyspace
from registry.content.blob_store import BlobStore
from registry.content.digest import Digest
from registry.content.errors import BlobUnknown
from registry.content.leases import Leases
from registry.content.names import RepositoryName
from storage_backends.memory import MemoryBackend
from storage_backends.sendable import ByteStream

_OTHER = RepositoryName.parse("other")
_DATA = b"0123456789"
_DIGEST = Digest.of(_DATA)


@pytest.fixture
def blobs(backend: MemoryBackend) -> BlobStore:
    return BlobStore(backend, Leases(backend, 3600))


async def _read(blobs: BlobStore, name: RepositoryName, start: int = 0, length: int | None = None) -> bytes:
    body = await blobs.open(name, _DIGEST, start, length)
    assert isinstance(body, ByteStream)
    data = b"".join([block async for block in body.blocks])
    assert len(data) == body.length
    return data


async def _put(backend: MemoryBackend, name: RepositoryName) -> None:
    await backend.put(keyspace.blob(_DIGEST), _DATA)
    await BlobStore(backend, Leases(backend, 3600)).link(name, _DIGEST)


async def test_a_linked_blob_is_served_whole_or_in_part(
    backend: MemoryBackend, blobs: BlobStore, name: RepositoryName
) -> None:
    await _put(backend, name)

    assert await blobs.has(name, _DIGEST)
    assert await blobs.size(name, _DIGEST) == 10
    assert await _read(blobs, name) == _DATA
    assert await _read(blobs, name, 3, 4) == b"3456"


async def test_a_repository_is_a_border(backend: MemoryBackend, blobs: BlobStore, name: RepositoryName) -> None:
    await _put(backend, name)

    assert await blobs.has_bytes(_DIGEST)
    assert not await blobs.has(_OTHER, _DIGEST)
    for ask in (blobs.size, blobs.open, blobs.unlink):
        with pytest.raises(BlobUnknown, match=f"blob {_DIGEST} is not in repository other"):
            await ask(_OTHER, _DIGEST)


@pytest.mark.parametrize("link", [b"", b"sha256:", str(_DIGEST).encode()[:-1], str(_DIGEST).encode() + b"\n"])
async def test_a_link_that_a_crash_left_unfinished_is_none(
    backend: MemoryBackend, blobs: BlobStore, name: RepositoryName, link: bytes
) -> None:
    await backend.put(keyspace.blob(_DIGEST), _DATA)
    await backend.put(keyspace.layer_link(name, _DIGEST), link)

    assert not await blobs.has(name, _DIGEST)
    with pytest.raises(BlobUnknown):
        await blobs.open(name, _DIGEST)


async def test_a_link_without_bytes_is_no_blob(blobs: BlobStore, name: RepositoryName) -> None:
    await blobs.link(name, _DIGEST)

    assert not await blobs.has(name, _DIGEST)
    assert not await blobs.has_bytes(_DIGEST)
    with pytest.raises(BlobUnknown):
        await blobs.open(name, _DIGEST)


async def test_bytes_that_were_deleted_beneath_us_are_gone_at_once(
    backend: MemoryBackend, blobs: BlobStore, name: RepositoryName
) -> None:
    """distribution #3743, #4569, #1803: a cached descriptor outlives the blob, and pushes are told that it exists."""
    await _put(backend, name)
    assert await blobs.has(name, _DIGEST)

    await backend.delete(keyspace.blob(_DIGEST))

    assert not await blobs.has(name, _DIGEST)
    with pytest.raises(BlobUnknown):
        await blobs.open(name, _DIGEST)


async def test_unlinking_takes_the_blob_from_one_repository_only(
    backend: MemoryBackend, blobs: BlobStore, name: RepositoryName
) -> None:
    await _put(backend, name)
    await _put(backend, _OTHER)

    await blobs.unlink(name, _DIGEST)

    assert not await blobs.has(name, _DIGEST)
    assert await _read(blobs, _OTHER) == _DATA
    with pytest.raises(BlobUnknown):
        await blobs.unlink(name, _DIGEST)
