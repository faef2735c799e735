"""Uploads on a storage that fails: the session stays usable, and its bytes and its hash never part."""

import asyncio

import pytest

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.errors import UploadConflict
from registry.content.leases import Leases
from registry.content.names import RepositoryName
from registry.content.upload_sessions import ChunkRange, UploadSessions
from storage_backends.errors import StorageFull, Unavailable
from tests.unit.content.failing import FailingBackend
from tests.unit.content.pouring import Poured

_DATA = bytes(range(256)) * 2048
_DIGEST = Digest.of(_DATA)
_HALF = len(_DATA) // 2
_ROOM = [0, 1, 1000, _HALF - 1]


@pytest.fixture
def backend() -> FailingBackend:
    return FailingBackend()


@pytest.fixture
def uploads(backend: FailingBackend) -> UploadSessions:
    return UploadSessions(backend, Leases(backend, 3600))


@pytest.mark.parametrize("room", _ROOM)
@pytest.mark.parametrize("chunk", [None, ChunkRange(_HALF, len(_DATA) - 1)])
async def test_a_full_storage_leaves_the_session_as_it_was(
    backend: FailingBackend, uploads: UploadSessions, name: RepositoryName, room: int, chunk: ChunkRange | None
) -> None:
    session = await uploads.begin(name)
    await uploads.append(session, Poured(_DATA[:_HALF]))
    backend.write_error, backend.room = StorageFull("full"), room

    with pytest.raises(StorageFull):
        await uploads.append(session, Poured(_DATA[_HALF:]), chunk)
    assert await uploads.offset(session) == _HALF

    backend.write_error = None
    await uploads.finish(session, _DIGEST, Poured(_DATA[_HALF:]), chunk)
    assert (await backend.get(keyspace.blob(_DIGEST))).data == _DATA


@pytest.mark.parametrize("room", _ROOM)
async def test_after_a_failed_write_the_session_goes_on_where_its_bytes_end(
    backend: FailingBackend, uploads: UploadSessions, name: RepositoryName, room: int
) -> None:
    session = await uploads.begin(name)
    await uploads.append(session, Poured(_DATA[:_HALF]))
    backend.write_error, backend.room = Unavailable("the disk reports an error"), room

    with pytest.raises(Unavailable):
        await uploads.append(session, Poured(_DATA[_HALF:]))
    backend.write_error = None
    offset = await uploads.offset(session)
    assert offset == _HALF + room

    await uploads.finish(session, _DIGEST, Poured(_DATA[offset:]))
    assert (await backend.get(keyspace.blob(_DIGEST))).data == _DATA


async def test_a_commit_that_fails_shows_nothing_and_can_be_tried_again(
    backend: FailingBackend, uploads: UploadSessions, name: RepositoryName
) -> None:
    session = await uploads.begin(name)
    backend.commit_error = StorageFull("full")

    with pytest.raises(StorageFull):
        await uploads.finish(session, _DIGEST, Poured(_DATA))
    assert (await backend.list("")).entries == ()

    backend.commit_error = None
    await uploads.finish(session, _DIGEST, Poured(_DATA))
    assert (await backend.get(keyspace.blob(_DIGEST))).data == _DATA


@pytest.mark.parametrize("last", [b"", _DATA[5:]])
async def test_the_request_whose_commit_fails_can_be_repeated_as_it_is(
    backend: FailingBackend, uploads: UploadSessions, name: RepositoryName, last: bytes
) -> None:
    session = await uploads.begin(name)
    await uploads.append(session, Poured(_DATA[: len(_DATA) - len(last)]))
    backend.commit_error = Unavailable("the disk reports an error")

    with pytest.raises(Unavailable):
        await uploads.finish(session, _DIGEST, Poured(last))
    assert await uploads.offset(session) == len(_DATA) - len(last)

    backend.commit_error = None
    await uploads.finish(session, _DIGEST, Poured(last))
    assert (await backend.get(keyspace.blob(_DIGEST))).data == _DATA


@pytest.mark.parametrize("error", [StorageFull("full"), Unavailable("the disk reports an error")])
async def test_a_whole_blob_that_meets_a_failing_storage_leaves_no_session(
    backend: FailingBackend, uploads: UploadSessions, name: RepositoryName, error: Exception
) -> None:
    for backend.write_error, backend.commit_error in ((error, None), (None, error)):
        with pytest.raises(type(error)):
            await uploads.push(name, _DIGEST, Poured(_DATA))
        assert (await backend.list("")).entries == ()
        assert backend._uploads == {}


async def test_a_request_that_is_given_up_holds_its_session_until_the_storage_is_done(
    backend: FailingBackend, uploads: UploadSessions, name: RepositoryName
) -> None:
    """The file is closed with the session: a truncation that came later would hit whatever has its descriptor then."""
    session = await uploads.begin(name)
    backend.write_error, backend.room = StorageFull("full"), 10
    backend.may_rewind.clear()

    append = asyncio.create_task(uploads.append(session, Poured(_DATA)))
    await asyncio.to_thread(backend.rewinding.wait, 10)
    append.cancel()
    await asyncio.sleep(0)
    with pytest.raises(UploadConflict):
        await uploads.cancel(session)
    backend.may_rewind.set()
    with pytest.raises(asyncio.CancelledError):
        await append

    assert await uploads.offset(session) == 0


async def test_the_hash_of_bytes_that_did_not_arrive_is_never_believed(
    backend: FailingBackend, uploads: UploadSessions, name: RepositoryName
) -> None:
    """Other bytes of the same number may take their place, through another process."""
    session = await uploads.begin(name)
    backend.write_error, backend.room = StorageFull("full"), 0
    with pytest.raises(StorageFull):
        await uploads.append(session, Poured(_DATA))
    backend.write_error = None
    other = bytes(len(_DATA))
    await UploadSessions(backend, Leases(backend, 3600)).append(session, Poured(other))

    await uploads.finish(session, Digest.of(other), Poured())

    assert (await backend.get(keyspace.blob(Digest.of(other)))).data == other
