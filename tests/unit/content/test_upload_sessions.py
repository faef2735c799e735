"""Upload sessions: whoever comes back, to whichever process, goes on where the bytes end, and no digest lies."""

import asyncio
import uuid

import pytest

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.errors import (
    BlobTooLarge,
    ContentError,
    DigestInvalid,
    RangeOutOfOrder,
    SizeInvalid,
    UploadConflict,
    UploadInterrupted,
    UploadUnknown,
)
from registry.content.leases import Leases
from registry.content.names import RepositoryName
from registry.content.upload_sessions import ChunkRange, Session, UploadSessions
from storage_backends.errors import NotFound
from storage_backends.memory import MemoryBackend
from tests.unit.content.pouring import HeldUp, Poured

_DATA = b"the quick brown fox"
_DIGEST = Digest.of(_DATA)


@pytest.fixture
def uploads(backend: MemoryBackend) -> UploadSessions:
    return UploadSessions(backend, Leases(backend, 3600))


async def _blob(backend: MemoryBackend, name: RepositoryName, digest: Digest) -> bytes:
    assert (await backend.get(keyspace.layer_link(name, digest))).data == str(digest).encode()
    return (await backend.get(keyspace.blob(digest))).data


async def _is_empty(backend: MemoryBackend) -> bool:
    return (await backend.list("")).entries == ()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("announced", ["sha256", "sha512"])
async def test_a_blob_in_chunks_is_whole_whatever_algorithm_was_announced(
    backend: MemoryBackend, uploads: UploadSessions, name: RepositoryName, algorithm: str, announced: str
) -> None:
    digest = Digest.of(_DATA, algorithm)

    session = await uploads.begin(name, announced)
    assert session.algorithm == announced
    assert await uploads.offset(session) == 0
    assert await uploads.append(session, Poured(b"the ", b"quick ")) == 10
    assert await uploads.append(session, Poured(b"brown "), ChunkRange(10, 15)) == 16
    await uploads.finish(session, digest, Poured(b"fox"))

    assert await _blob(backend, name, digest) == _DATA
    with pytest.raises(UploadUnknown):
        await uploads.offset(session)


async def test_a_whole_blob_in_one_body(backend: MemoryBackend, uploads: UploadSessions, name: RepositoryName) -> None:
    await uploads.push(name, _DIGEST, Poured(_DATA))
    session = await uploads.begin(name)
    await uploads.finish(session, Digest.of(b""), Poured())

    assert await _blob(backend, name, _DIGEST) == _DATA
    assert await _blob(backend, name, Digest.of(b"")) == b""


async def test_a_session_goes_on_in_any_process_and_after_a_restart(
    backend: MemoryBackend, name: RepositoryName
) -> None:
    session = await UploadSessions(backend, Leases(backend, 3600)).begin(name)
    for number, block in enumerate((b"the ", b"quick ", b"brown ", b"fox")):
        process = UploadSessions(backend, Leases(backend, 3600))
        assert await process.offset(session) == len(b"the quick brown fox"[: [0, 4, 10, 16][number]])
        await process.append(Session.parse(name, session.id), Poured(block))
    await UploadSessions(backend, Leases(backend, 3600)).finish(session, _DIGEST, Poured())

    assert await _blob(backend, name, _DIGEST) == _DATA


async def test_processes_that_take_turns_never_believe_an_old_hash(
    backend: MemoryBackend, name: RepositoryName
) -> None:
    one, two = UploadSessions(backend, Leases(backend, 3600)), UploadSessions(backend, Leases(backend, 3600))
    session = await one.begin(name)

    await one.append(session, Poured(b"the "))
    await two.append(session, Poured(b"quick "))
    await one.append(session, Poured(b"brown "))
    with pytest.raises(SizeInvalid):
        await two.append(session, Poured(b"lie"), ChunkRange(16, 17))
    await one.append(session, Poured(b"f"))
    await two.finish(session, _DIGEST, Poured(b"ox"))

    assert await _blob(backend, name, _DIGEST) == _DATA


async def test_bytes_before_a_cut_connection_stay(
    backend: MemoryBackend, uploads: UploadSessions, name: RepositoryName
) -> None:
    session = await uploads.begin(name)

    with pytest.raises(UploadInterrupted):
        await uploads.append(session, Poured(b"the ", b"qui", cut=True))
    assert await uploads.offset(session) == 7
    with pytest.raises(UploadInterrupted):
        await uploads.finish(session, _DIGEST, Poured(b"ck ", cut=True))
    assert await uploads.offset(session) == 10
    with pytest.raises(UploadInterrupted):
        await uploads.append(session, Poured(b"bro", cut=True), ChunkRange(10, 15))
    assert await uploads.offset(session) == 13

    await uploads.append(session, Poured(b"wn "), ChunkRange(13, 15))
    await uploads.finish(session, _DIGEST, Poured(b"fox"), ChunkRange(16, 18))
    assert await _blob(backend, name, _DIGEST) == _DATA


async def test_one_connection_never_reads_the_blob_again(
    backend: MemoryBackend, uploads: UploadSessions, name: RepositoryName, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = _count_reading(monkeypatch)
    session = await uploads.begin(name)
    for block in (b"the ", b"quick ", b"brown "):
        await uploads.append(session, Poured(block))
    await uploads.finish(session, _DIGEST, Poured(b"fox"))
    assert sum(read) == 0

    session = await uploads.begin(name)
    await uploads.append(session, Poured(b"the quick "))
    await UploadSessions(backend, Leases(backend, 3600)).finish(session, _DIGEST, Poured(b"brown fox"))
    assert read == [19]


async def test_a_process_that_only_ends_the_upload_of_another_reads_nothing_again(
    backend: MemoryBackend, name: RepositoryName, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = _count_reading(monkeypatch)
    session = await UploadSessions(backend, Leases(backend, 3600)).begin(name)
    await UploadSessions(backend, Leases(backend, 3600)).append(session, Poured(_DATA))
    await UploadSessions(backend, Leases(backend, 3600)).finish(session, _DIGEST, Poured())

    assert await _blob(backend, name, _DIGEST) == _DATA
    assert read == []


async def test_a_process_that_appends_to_the_upload_of_another_leaves_the_reading_to_the_end(
    backend: MemoryBackend, name: RepositoryName, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = _count_reading(monkeypatch)
    session = await UploadSessions(backend, Leases(backend, 3600)).begin(name)
    for block in (b"the ", b"quick ", b"brown ", b"fox"):
        await UploadSessions(backend, Leases(backend, 3600)).append(session, Poured(block))
    assert read == []

    await UploadSessions(backend, Leases(backend, 3600)).finish(session, _DIGEST, Poured())
    assert read == [19]


def _count_reading(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what was read back from uploads since."""
    from registry.content import upload_sessions
    from registry.content.digest import Hasher
    from storage_backends.base import Upload

    sizes: list[int] = []
    original = upload_sessions._hash_again

    def counting(upload: Upload, algorithm: str) -> Hasher:
        if upload.size:
            sizes.append(upload.size)
        return original(upload, algorithm)

    monkeypatch.setattr(upload_sessions, "_hash_again", counting)
    return sizes


@pytest.mark.parametrize("first", [0, 3, 5, 10**17])
async def test_a_chunk_that_begins_elsewhere_is_refused_and_told_where_to_go_on(
    uploads: UploadSessions, name: RepositoryName, first: int
) -> None:
    session = await uploads.begin(name)
    await uploads.append(session, Poured(b"the "))
    body = Poured(b"quick ")

    for attempt in (
        uploads.append(session, body, ChunkRange(first, first + 5)),
        uploads.finish(session, _DIGEST, body, ChunkRange(first, first + 5)),
    ):
        with pytest.raises(RangeOutOfOrder, match="the session ends at byte 4") as raised:
            await attempt
        assert raised.value.offset == 4

    assert not body.pumped
    assert await uploads.offset(session) == 4


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (Poured(b"quick"), "the body has 5 bytes, its Content-Range 6"),
        (Poured(), "the body has 0 bytes"),
        (Poured(b"quick brown"), "longer than its Content-Range of 6 bytes"),
        (Poured(b"quick ", b"b"), "longer than its Content-Range"),
    ],
)
@pytest.mark.parametrize("finishing", [False, True])
async def test_a_body_that_is_not_as_long_as_its_range_leaves_the_session_as_it_was(
    *, backend: MemoryBackend, uploads: UploadSessions, name: RepositoryName, body: Poured, reason: str, finishing: bool
) -> None:
    session = await uploads.begin(name)
    await uploads.append(session, Poured(b"the "))

    with pytest.raises(SizeInvalid, match=reason):
        if finishing:
            await uploads.finish(session, _DIGEST, body, ChunkRange(4, 9))
        else:
            await uploads.append(session, body, ChunkRange(4, 9))

    assert await uploads.offset(session) == 4
    assert await _is_empty(backend)
    await uploads.finish(session, _DIGEST, Poured(b"quick brown fox"))
    assert await _blob(backend, name, _DIGEST) == _DATA


async def test_a_blob_beyond_the_limit_is_refused_before_it_is_stored(
    backend: MemoryBackend, name: RepositoryName
) -> None:
    uploads = UploadSessions(backend, Leases(backend, 3600), max_blob_bytes=10)
    session = await uploads.begin(name)
    await uploads.append(session, Poured(b"the "))

    for attempt in (
        uploads.append(session, Poured(b"quick b")),
        uploads.append(session, Poured(b"quick b"), ChunkRange(4, 10)),
        uploads.push(name, _DIGEST, Poured(_DATA)),
    ):
        with pytest.raises(BlobTooLarge, match="larger than the 10 bytes"):
            await attempt

    assert await uploads.offset(session) == 4
    await uploads.finish(session, Digest.of(b"the quick "), Poured(b"quick "), ChunkRange(4, 9))
    assert await _blob(backend, name, Digest.of(b"the quick ")) == b"the quick "


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_wrong_digest_discards_the_session_and_leaves_nothing(
    backend: MemoryBackend, uploads: UploadSessions, name: RepositoryName, algorithm: str
) -> None:
    session = await uploads.begin(name)
    await uploads.append(session, Poured(_DATA))
    wrong = Digest.of(b"something else", algorithm)

    with pytest.raises(DigestInvalid, match=f"have the digest {Digest.of(_DATA, algorithm)}, not {wrong}") as raised:
        await uploads.finish(session, wrong, Poured())
    assert raised.value.detail == {
        "expected": str(wrong),
        "received": str(Digest.of(_DATA, algorithm)),
        "bytes": len(_DATA),
    }

    with pytest.raises(UploadUnknown):
        await uploads.offset(session)
    assert await _is_empty(backend)


@pytest.mark.parametrize("body", [Poured(b"wrong"), Poured(b"the ", cut=True)])
async def test_a_whole_blob_that_fails_leaves_no_session(
    backend: MemoryBackend, uploads: UploadSessions, name: RepositoryName, body: Poured
) -> None:
    with pytest.raises(ContentError):
        await uploads.push(name, _DIGEST, body)

    assert await _is_empty(backend)
    assert backend._uploads == {}


async def test_a_whole_blob_that_is_given_up_leaves_no_session(
    backend: MemoryBackend, uploads: UploadSessions, name: RepositoryName
) -> None:
    body = HeldUp(b"the ", b"quick ")
    push = asyncio.create_task(uploads.push(name, _DIGEST, body))
    await body.begun.wait()

    push.cancel()
    with pytest.raises(asyncio.CancelledError):
        await push

    assert await _is_empty(backend)
    assert backend._uploads == {}


async def test_a_session_has_one_writer_at_a_time(
    backend: MemoryBackend, uploads: UploadSessions, name: RepositoryName
) -> None:
    session = await uploads.begin(name)
    body = HeldUp(b"the ", b"quick ", b"brown fox")
    first = asyncio.create_task(uploads.finish(session, _DIGEST, body))
    await body.begun.wait()

    for process in (uploads, UploadSessions(backend, Leases(backend, 3600))):
        for attempt in (
            process.append(session, Poured(b"lie")),
            process.append(session, Poured(b"lie"), ChunkRange(0, 2)),
            process.finish(session, _DIGEST, Poured(b"lie")),
            process.cancel(session),
        ):
            with pytest.raises(UploadConflict, match="another request is writing to this upload session"):
                await attempt
    body.go_on.set()
    await first

    assert await _blob(backend, name, _DIGEST) == _DATA


async def test_two_finishing_uploads_of_one_digest_both_succeed(
    backend: MemoryBackend, uploads: UploadSessions, name: RepositoryName
) -> None:
    other = RepositoryName.parse("other")
    bodies = [HeldUp(b"the quick ", b"brown fox") for _ in range(3)]
    sessions = [await uploads.begin(repository) for repository in (name, other, name)]
    finishing = [
        asyncio.create_task(uploads.finish(session, _DIGEST, body))
        for session, body in zip(sessions, bodies, strict=True)
    ]
    for body in bodies:
        await body.begun.wait()
        body.go_on.set()
    await asyncio.gather(*finishing)

    assert await _blob(backend, name, _DIGEST) == _DATA
    assert await _blob(backend, other, _DIGEST) == _DATA
    assert backend._uploads == {}


async def test_a_cancelled_session_is_gone(
    backend: MemoryBackend, uploads: UploadSessions, name: RepositoryName
) -> None:
    session = await uploads.begin(name)
    await uploads.append(session, Poured(b"the "))

    await uploads.cancel(session)

    for attempt in (
        uploads.offset(session),
        uploads.cancel(session),
        uploads.append(session, Poured(b"a")),
        uploads.finish(session, _DIGEST, Poured(_DATA)),
    ):
        with pytest.raises(UploadUnknown, match="begin a new one"):
            await attempt
    assert backend._uploads == {}


async def test_a_session_is_unknown_in_any_other_repository(
    uploads: UploadSessions, backend: MemoryBackend, name: RepositoryName
) -> None:
    session = await uploads.begin(name)
    foreign = Session.parse(RepositoryName.parse("other"), session.id)

    for attempt in (
        uploads.offset(foreign),
        uploads.append(foreign, Poured(b"a")),
        uploads.finish(foreign, _DIGEST, Poured(_DATA)),
        uploads.cancel(foreign),
    ):
        with pytest.raises(UploadUnknown):
            await attempt
    assert await uploads.offset(session) == 0
    assert await _is_empty(backend)


_UUID = str(uuid.UUID(int=5))


@pytest.mark.parametrize("text", [_UUID, f"{_UUID}.sha512"])
def test_a_session_is_read_from_its_url(text: str, name: RepositoryName) -> None:
    assert Session.parse(name, text) == Session(name, text)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "..", "../" + _UUID, _UUID + "/", _UUID.replace("-", ""), "{" + _UUID + "}", "urn:uuid:" + _UUID,
        str(uuid.UUID(int=2**128 - 1)).upper(), _UUID + ".", _UUID + ".md5", _UUID + ".sha512.sha512", _UUID + "\n",
        _UUID + "\x00", _UUID + ".sha512\n", "\u0665" * 36, "a" * 100_000,
    ],
)  # fmt: skip
def test_an_upload_url_that_was_tampered_with_names_no_session(text: str, name: RepositoryName) -> None:
    with pytest.raises(UploadUnknown) as raised:
        Session.parse(name, text)
    assert len(raised.value.message) < 1000


async def test_an_algorithm_that_we_lack_opens_no_session(
    backend: MemoryBackend, uploads: UploadSessions, name: RepositoryName
) -> None:
    with pytest.raises(DigestInvalid, match="'md5' is not supported"):
        await uploads.begin(name, "md5")

    assert backend._uploads == {}


async def test_more_sessions_than_hashes_are_kept_all_finish(
    backend: MemoryBackend, uploads: UploadSessions, name: RepositoryName, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry.content import upload_sessions

    monkeypatch.setattr(upload_sessions, "_KEPT_HASHERS", 3)
    sessions = [await uploads.begin(name) for _ in range(8)]
    for session in sessions:
        await uploads.append(session, Poured(session.id.encode()))

    assert len(uploads._hashers) == 3
    for session in sessions:
        digest = Digest.of(session.id.encode())
        await uploads.finish(session, digest, Poured())
        assert await _blob(backend, name, digest) == session.id.encode()
    assert len(uploads._hashers) == 0


async def test_a_session_that_is_taken_up_is_not_what_this_process_has_seen_of_an_earlier_one(
    backend: MemoryBackend, uploads: UploadSessions, name: RepositoryName
) -> None:
    """One that has the same name each time may have been cancelled and begun again by another process since."""
    session, other = Session.fetching(name, _DIGEST), UploadSessions(backend, Leases(backend, 3600))
    await uploads.take_up(session)
    await uploads.append(session, Poured(_DATA[:10]))
    await other.cancel(session)
    await other.take_up(session)
    await other.append(session, Poured(b"the slow  "))

    assert await uploads.take_up(session) == 10
    with pytest.raises(DigestInvalid):
        await uploads.finish(session, _DIGEST, Poured(_DATA[10:]))
    with pytest.raises(NotFound):
        await backend.get(keyspace.blob(_DIGEST))
