"""Upload sessions in a bucket: taken over with other settings, in very many pieces, and beside what takes its time."""

import asyncio
import dataclasses
import threading

import pytest

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.leases import Leases
from registry.content.names import RepositoryName
from registry.content.upload_sessions import UploadSessions
from storage_backends.errors import Unavailable
from storage_backends.s3 import S3Backend
from storage_backends.s3_options import PartSizes, S3Options
from tests.buckets.faults import Answer, Before
from tests.buckets.proxy import Proxy
from tests.contract.storage_contract import read
from tests.images import random_bytes
from tests.unit.content.pouring import Poured

pytestmark = pytest.mark.anyio
_MIB = 1024 * 1024
_NAME = RepositoryName("team/app")


def _backend(options: S3Options, part: int, **sizes: int) -> S3Backend:
    return S3Backend(dataclasses.replace(options, sizes=PartSizes(part=part * _MIB, **sizes)))


def _sessions(backend: S3Backend) -> UploadSessions:
    return UploadSessions(backend, Leases(backend, 3600))


async def _blob(backend: S3Backend, digest: Digest) -> bytes:
    return await read(await backend.open_read(keyspace.blob(digest)))


@pytest.mark.parametrize("more", [0, 1, 12 * _MIB])
async def test_what_was_saved_in_larger_parts_goes_on_in_smaller_ones_and_leaves_no_trace(
    options: S3Options, more: int
) -> None:
    """A buffer that had grown once would send what others had left in it, behind a digest that was right."""
    large, small = _backend(options, 16), _backend(options, 8)
    first = random_bytes(12 * _MIB + more, more)
    session = await _sessions(large).begin(_NAME)
    await _sessions(large).append(session, Poured(first[: 12 * _MIB]))
    uploads = _sessions(small)

    if more:
        assert await uploads.append(session, Poured(first[12 * _MIB :])) == len(first)
    await uploads.finish(session, Digest.of(first), Poured())

    assert await _blob(small, Digest.of(first)) == first
    for number in range(4):
        data = random_bytes(20 * _MIB, 100 + number)
        await uploads.push(_NAME, Digest.of(data), Poured(data))
        assert await _blob(small, Digest.of(data)) == data


async def test_very_many_pieces_become_few(options: S3Options) -> None:
    """An object has ten thousand parts at most, and each piece becomes one."""
    backend = _backend(options, 5, pieces=3, copy_part=12 * _MIB)
    uploads, data = _sessions(backend), random_bytes(38 * _MIB, 1)
    session = await uploads.begin(_NAME)

    most = 0
    for start in range(0, len(data), 5 * _MIB):
        await uploads.append(session, Poured(data[start : start + 5 * _MIB]))
        most = max(most, len((await backend.list(f"{session.key}.")).entries))

    assert most <= 4
    await _sessions(_backend(options, 5)).finish(session, Digest.of(data), Poured())
    assert await _blob(backend, Digest.of(data)) == data
    assert (await backend.list(keyspace.UPLOADS)).entries == ()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_blob_of_another_algorithm_than_was_announced_goes_straight_to_its_place(
    options: S3Options, algorithm: str
) -> None:
    backend, data = _backend(options, 5), random_bytes(12 * _MIB, 2)
    uploads, digest = _sessions(backend), Digest.of(data, algorithm)

    await uploads.finish(await uploads.begin(_NAME), digest, Poured(data))

    assert await _blob(backend, digest) == data


@pytest.mark.parametrize("last", [1, 9])
async def test_the_request_whose_commit_fails_can_be_repeated_as_it_is(
    options: S3Options, proxy: Proxy, last: int
) -> None:
    backend, data = _backend(options, 5), random_bytes(20 * _MIB, 3)
    uploads, known = _sessions(backend), len(data) - last * _MIB
    session = await uploads.begin(_NAME)
    await uploads.append(session, Poured(data[:known]))
    proxy.break_("CompleteMultipartUpload", Answer(503, "SlowDown"), times=3, part="blobs/")

    with pytest.raises(Unavailable):
        await uploads.finish(session, Digest.of(data), Poured(data[known:]))

    assert await uploads.offset(session) == known
    await uploads.finish(session, Digest.of(data), Poured(data[known:]))
    assert await _blob(backend, Digest.of(data)) == data


async def test_nobody_waits_for_the_commits_of_others(options: S3Options, proxy: Proxy) -> None:
    backend = S3Backend(dataclasses.replace(options, read_timeout=30, concurrency=20))
    uploads, begun, go_on = _sessions(backend), threading.Semaphore(0), threading.Event()
    blobs = [b"%d" % number for number in range(12)]
    sessions = [await uploads.begin(_NAME) for _ in blobs]

    def hold() -> None:
        begun.release()
        go_on.wait(30)

    proxy.break_("PutObject", Before(hold), times=len(blobs), part="blobs/")
    commits = [
        asyncio.create_task(uploads.finish(session, Digest.of(data), Poured(data)))
        for session, data in zip(sessions, blobs, strict=True)
    ]
    try:
        for _ in commits:
            assert await asyncio.to_thread(begun.acquire, timeout=10)
        other = await uploads.begin(_NAME)
        assert await asyncio.wait_for(uploads.append(other, Poured(b"other")), 10) == 5
    finally:
        go_on.set()
    await asyncio.gather(*commits)


async def test_connections_stay_open_also_when_everything_is_under_way_at_once(
    options: S3Options, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = PartSizes(part=5 * _MIB, in_flight=1)
    backend = S3Backend(dataclasses.replace(options, read_timeout=30, concurrency=1, sizes=sizes))
    together = threading.Barrier(3, timeout=10)
    await backend.put("read", b"bytes")

    def meet() -> None:
        together.wait()

    async def upload(key: str, size: int) -> None:
        async with backend.new_upload(key) as upload:
            await asyncio.to_thread(upload.write, memoryview(bytes(size)))
            await upload.commit(key)

    for operation, key in (("GetObject", "read"), ("PutObject", "small"), ("UploadPart", "large")):
        proxy.break_(operation, Before(meet), part=key)
    await asyncio.gather(backend.get("read"), upload("small", 1), upload("large", 5 * _MIB))

    assert "pool is full" not in caplog.text
