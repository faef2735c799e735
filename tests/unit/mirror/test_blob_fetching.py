"""Blobs from elsewhere: fetched once, sent while they come, kept when they are right."""

import asyncio
import os
import traceback
from contextlib import aclosing
from pathlib import Path

import pytest

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.errors import BlobUnknown, NotMirrored, PlaceCorrupt, PlaceUnavailable
from registry.content.names import RepositoryName
from registry.content.upload_sessions import Session
from registry.mirror import turns
from registry.mirror.blob_fetching import FetchLimits
from registry.mirror.errors import UpstreamUnavailable
from registry.mirror.growing import GrowingBlob
from registry.mirror.mirroring_registry import MirroringRegistry
from storage_backends.base import StorageBackend
from storage_backends.errors import Unavailable
from storage_backends.filesystem import FilesystemBackend
from storage_backends.memory import MemoryBackend
from storage_backends.sendable import Sendable, blocks_of
from tests.images import Content, random_bytes
from tests.unit.mirror.conftest import MakeMirror
from tests.unit.mirror.fake_upstream import BLOCK, FakeUpstream

APP = RepositoryName("hub/team/app")
LARGE = Content("application/octet-stream", random_bytes(10 * BLOCK + 17, 1))
SMALL = Content("application/octet-stream", random_bytes(1000, 2))


async def _read(opened: Sendable) -> bytes:
    try:
        return b"".join([block async for block in blocks_of(opened)])
    finally:
        opened.close()


async def _pull(mirror: MirroringRegistry, digest: Digest, name: RepositoryName = APP) -> bytes:
    return await _read(await mirror.blobs.open(name, digest))


async def _no_part(*_: object) -> bytes:
    return b""


async def _left_uploads(backend: StorageBackend) -> tuple[str, ...]:
    return (await backend.list(keyspace.UPLOADS)).entries


@pytest.mark.parametrize("blob", [LARGE, SMALL])
async def test_fifty_pulls_of_a_blob_at_once_fetch_it_once(
    mirror: MirroringRegistry, upstream: FakeUpstream, blob: Content
) -> None:
    digest = await upstream.put("team/app", blob)

    pulled = await asyncio.gather(*(_pull(mirror, digest) for _ in range(50)))

    assert all(data == blob.data for data in pulled)
    assert upstream.asked["blob"] == 1
    assert await _pull(mirror, digest) == blob.data
    assert upstream.asked["blob"] == 1


async def test_a_client_gets_bytes_while_the_rest_is_still_to_come(
    mirror: MirroringRegistry, upstream: FakeUpstream
) -> None:
    digest = await upstream.put("team/app", LARGE)
    upstream.go_on.clear()

    opened = await mirror.blobs.open(APP, digest)
    blocks = blocks_of(opened)
    first = await anext(blocks)
    upstream.go_on.set()
    rest = [block async for block in blocks]
    opened.close()

    assert opened.size == opened.length == len(LARGE.data)
    assert 0 < len(first) <= BLOCK
    assert first + b"".join(rest) == LARGE.data


async def test_a_blob_is_fetched_to_its_end_when_the_client_is_gone(
    mirror: MirroringRegistry, upstream: FakeUpstream
) -> None:
    digest = await upstream.put("team/app", LARGE)
    upstream.go_on.clear()

    opened = await mirror.blobs.open(APP, digest)
    async with aclosing(blocks_of(opened)) as blocks:
        await anext(blocks)
    opened.close()
    upstream.go_on.set()

    assert await _pull(mirror, digest) == LARGE.data
    assert upstream.asked["blob"] == 1


async def test_a_pull_that_is_given_up_before_the_answer_does_not_end_the_fetch(
    mirror: MirroringRegistry, upstream: FakeUpstream
) -> None:
    digest = await upstream.put("team/app", SMALL)
    upstream.go_on.clear()
    pull = asyncio.create_task(_pull(mirror, digest))
    other = asyncio.create_task(_pull(mirror, digest))
    await upstream.began.wait()

    pull.cancel()
    upstream.go_on.set()

    assert await other == SMALL.data
    assert upstream.asked["blob"] == 1


async def test_part_of_a_blob_that_is_not_here_is_sent_as_soon_as_it_has_come(
    mirror: MirroringRegistry, upstream: FakeUpstream
) -> None:
    digest = await upstream.put("team/app", LARGE)

    middle = await _read(await mirror.blobs.open(APP, digest, BLOCK + 1, 2 * BLOCK))
    end = await _read(await mirror.blobs.open(APP, digest, len(LARGE.data) - 5, 5))

    assert middle == LARGE.data[BLOCK + 1 : 3 * BLOCK + 1]
    assert end == LARGE.data[-5:]
    assert upstream.asked["blob"] == 1


@pytest.mark.parametrize("blob", [LARGE, SMALL])
@pytest.mark.parametrize("beyond", [-1, 1000])
async def test_part_of_a_blob_that_its_upstream_called_longer_than_it_is_gets_an_error(
    mirror: MirroringRegistry, upstream: FakeUpstream, blob: Content, beyond: int
) -> None:
    digest = await upstream.put("team/app", blob)

    with pytest.raises(PlaceUnavailable, match="is longer than"):
        async with asyncio.timeout(5):
            await _read(await mirror.blobs.open(APP, digest, len(blob.data) + beyond, 10))


async def test_who_reads_beyond_the_end_of_a_blob_that_came_does_not_wait_for_more(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(SMALL.data)
    growing = GrowingBlob(len(SMALL.data), os.open(tmp_path / "blob", os.O_RDONLY))
    growing.finish()

    with pytest.raises(PlaceUnavailable, match="ends at byte 1000"):
        async with asyncio.timeout(5):
            await _read(growing.read(len(SMALL.data), 10))

    growing.close()


async def test_what_is_logged_of_a_failure_does_not_grow_with_each_client_that_it_cuts_off(tmp_path: Path) -> None:
    (tmp_path / "blob").touch()
    growing = GrowingBlob(len(LARGE.data), os.open(tmp_path / "blob", os.O_RDONLY))
    growing.fail(PlaceCorrupt("wrong"))

    lengths = set()
    for _ in range(3):
        with pytest.raises(PlaceCorrupt) as raised:
            await _read(growing.read(0, None))
        lengths.add(len(traceback.extract_tb(raised.value.__traceback__)))

    assert len(lengths) == 1
    growing.close()


@pytest.mark.parametrize("blob", [LARGE, SMALL])
async def test_wrong_bytes_are_never_whole_and_nothing_of_them_is_kept(
    mirror: MirroringRegistry, upstream: FakeUpstream, backend: StorageBackend, blob: Content
) -> None:
    digest = await upstream.put("team/app", blob)
    upstream.lies = True

    with pytest.raises(PlaceCorrupt, match="sends a wrong blob"):
        await _pull(mirror, digest)

    assert not await mirror._local.blobs.has_bytes(digest)
    assert await _left_uploads(backend) == ()
    upstream.lies = False
    assert await _pull(mirror, digest) == blob.data


async def test_of_wrong_bytes_the_end_is_not_sent(mirror: MirroringRegistry, upstream: FakeUpstream) -> None:
    digest = await upstream.put("team/app", LARGE)
    upstream.lies = True

    opened = await mirror.blobs.open(APP, digest)
    sent = 0
    with pytest.raises(PlaceCorrupt):
        async for block in blocks_of(opened):
            sent += len(block)
    opened.close()

    assert sent <= len(LARGE.data) - 64 * 1024


@pytest.mark.parametrize("blob", [LARGE, SMALL])
async def test_a_transfer_that_breaks_leaves_nothing_and_can_be_tried_again(
    mirror: MirroringRegistry, upstream: FakeUpstream, backend: StorageBackend, blob: Content
) -> None:
    digest = await upstream.put("team/app", blob)
    upstream.breaks = UpstreamUnavailable("the connection broke")

    with pytest.raises(PlaceUnavailable, match="the connection broke"):
        await _pull(mirror, digest)

    assert await _left_uploads(backend) == ()
    upstream.breaks = None
    assert await _pull(mirror, digest) == blob.data


async def test_the_size_of_a_blob_that_is_not_here_is_asked_for_without_fetching_it(
    mirror: MirroringRegistry, upstream: FakeUpstream
) -> None:
    digest = await upstream.put("team/app", LARGE)

    assert await mirror.blobs.size(APP, digest) == len(LARGE.data)

    assert upstream.asked == {"blob size": 1}


async def test_a_blob_that_is_nowhere_is_unknown(mirror: MirroringRegistry, upstream: FakeUpstream) -> None:
    with pytest.raises(BlobUnknown):
        await _pull(mirror, Digest.of(b"nowhere"))


async def test_a_repository_gets_bytes_that_are_here_only_if_its_own_upstream_has_them(
    mirror: MirroringRegistry, upstream: FakeUpstream
) -> None:
    digest = await upstream.put("team/app", LARGE)
    await _pull(mirror, digest)

    with pytest.raises(BlobUnknown):
        await _pull(mirror, digest, RepositoryName("hub/other/app"))
    await upstream.put("third/app", LARGE)

    assert await _pull(mirror, digest, RepositoryName("hub/third/app")) == LARGE.data
    assert upstream.asked["blob"] == 1


@pytest.mark.parametrize("blob", [LARGE, SMALL])
async def test_a_repository_gets_no_bytes_of_another_because_its_upstream_says_that_it_has_them(
    mirror: MirroringRegistry, upstream: FakeUpstream, backend: StorageBackend, blob: Content
) -> None:
    digest = await upstream.put("team/app", blob)
    await _pull(mirror, digest)
    await upstream.put("other/app", blob)
    upstream.lies = True
    other = RepositoryName("hub/other/app")

    with pytest.raises(PlaceCorrupt):
        await _pull(mirror, digest, other)

    assert (await backend.list(keyspace.layers(other))).entries == ()
    assert await _pull(mirror, digest) == blob.data
    assert await _left_uploads(backend) == ()


async def test_bytes_that_only_their_whole_could_show_to_be_there_are_fetched_again(
    mirror: MirroringRegistry, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = await upstream.put("team/app", LARGE)
    await upstream.put("other/app", LARGE)
    monkeypatch.setattr(upstream, "blob_part", _no_part)
    await _pull(mirror, digest)

    assert await _pull(mirror, digest, RepositoryName("hub/other/app")) == LARGE.data
    assert upstream.asked["blob"] == 2


async def test_a_blob_larger_than_the_settings_allow_is_not_fetched(
    make_mirror: MakeMirror, upstream: FakeUpstream, backend: StorageBackend
) -> None:
    digest = await upstream.put("team/app", LARGE)
    mirror = make_mirror(FetchLimits(max_bytes=BLOCK))

    with pytest.raises(NotMirrored, match="more than the 262144"):
        await _pull(mirror, digest)

    assert await _left_uploads(backend) == ()


async def test_no_more_blobs_are_fetched_at_a_time_than_the_limits_say(
    make_mirror: MakeMirror, upstream: FakeUpstream
) -> None:
    digest, other = await upstream.put("team/app", LARGE), await upstream.put("team/app", SMALL)
    mirror = make_mirror(FetchLimits(at_once=1, waiting=0))
    upstream.go_on.clear()
    opened = await mirror.blobs.open(APP, digest)

    with pytest.raises(PlaceUnavailable, match="too many blobs"):
        await mirror.blobs.open(APP, other)

    upstream.go_on.set()
    assert await _read(opened) == LARGE.data
    assert await _pull(mirror, other) == SMALL.data


async def test_two_processes_fetch_a_blob_once(make_mirror: MakeMirror, upstream: FakeUpstream) -> None:
    digest = await upstream.put("team/app", LARGE)
    processes = [make_mirror(), make_mirror()]

    pulled = await asyncio.gather(*(_pull(process, digest) for process in processes for _ in range(10)))

    assert all(data == LARGE.data for data in pulled)
    assert upstream.asked["blob"] == 1


async def test_two_repositories_that_mirror_the_same_blob_fetch_it_once(
    mirror: MirroringRegistry, upstream: FakeUpstream
) -> None:
    names = [f"team/app{number}" for number in range(5)]
    for name in names:
        digest = await upstream.put(name, LARGE)

    pulled = await asyncio.gather(*(_pull(mirror, digest, RepositoryName(f"hub/{name}")) for name in names))

    assert all(data == LARGE.data for data in pulled)
    assert upstream.asked["blob"] == 1


async def test_a_turn_that_a_killed_process_had_is_taken_over(
    mirror: MirroringRegistry, upstream: FakeUpstream, backend: StorageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "EXPIRES_SECONDS", 0.2)
    digest = await upstream.put("team/app", LARGE)
    await backend.put(keyspace.fetching(digest), b"cargohold/v1/uploads/gone 7")

    assert await _pull(mirror, digest) == LARGE.data


async def test_what_a_killed_process_had_fetched_is_gone_on_with(
    make_mirror: MakeMirror, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "EXPIRES_SECONDS", 0.2)
    digest = await upstream.put("team/app", LARGE)
    upstream.go_on.clear()
    killed = make_mirror()
    opened = await killed.blobs.open(APP, digest)
    opened.close()
    [task] = killed.blobs._fetching._tasks
    task.cancel()
    await asyncio.wait({task})
    upstream.go_on.set()

    assert await _pull(make_mirror(), digest) == LARGE.data


@pytest.mark.parametrize("left", [3 * BLOCK, len(LARGE.data), len(LARGE.data) + 5])
async def test_what_a_killed_process_has_left_does_no_harm_however_much_it_is(
    make_mirror: MakeMirror, upstream: FakeUpstream, backend: StorageBackend, left: int
) -> None:
    mirror = make_mirror()
    digest = await upstream.put("team/app", LARGE)
    session = Session.fetching(APP, digest)
    await backend.create_upload(session.key)
    async with backend.open_upload(session.key) as writer:
        await asyncio.to_thread(writer.write, memoryview((LARGE.data + b"more!")[:left]))
        await writer.save()

    assert await _pull(mirror, digest) == LARGE.data
    assert await _left_uploads(backend) == ()


async def test_what_a_killed_process_has_left_does_no_harm_where_the_upstream_does_not_say_how_long_it_is(
    make_mirror: MakeMirror, upstream: FakeUpstream, backend: StorageBackend
) -> None:
    mirror = make_mirror()
    digest = await upstream.put("team/app", LARGE)
    upstream.sized = False
    session = Session.fetching(APP, digest)
    await backend.create_upload(session.key)
    async with backend.open_upload(session.key) as writer:
        await asyncio.to_thread(writer.write, memoryview(LARGE.data[:BLOCK]))
        await writer.save()

    assert await _pull(mirror, digest) == LARGE.data
    assert await _left_uploads(backend) == ()


async def test_another_process_waits_for_a_blob_of_which_the_upstream_does_not_say_how_long_it_is(
    make_mirror: MakeMirror, upstream: FakeUpstream, tmp_path: Path
) -> None:
    storage = FilesystemBackend(tmp_path)
    digest = await upstream.put("team/app", LARGE)
    upstream.sized = False
    upstream.go_on.clear()
    opened = await make_mirror(storage=storage).blobs.open(APP, digest)
    opened.close()
    waiting = asyncio.create_task(_pull(make_mirror(storage=storage), digest))
    await upstream.sizing.wait()
    upstream.go_on.set()

    assert await waiting == LARGE.data
    assert upstream.asked["blob"] == 1
    assert upstream.asked["blob size"] == 1


async def test_without_room_for_temporary_files_the_answer_says_so_and_nothing_is_kept(
    make_mirror: MakeMirror, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = MemoryBackend()
    mirror = make_mirror(storage=backend)
    digest = await upstream.put("team/app", LARGE)
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")

    with pytest.raises(Unavailable, match="TMPDIR"):
        await _pull(mirror, digest)

    assert await _left_uploads(backend) == ()
