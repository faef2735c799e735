"""The directory keeps the contract, and what only a directory can promise."""

import asyncio
import ctypes
import errno
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from storage_backends import durable
from storage_backends.base import StorageBackend
from storage_backends.errors import InvalidKey, NotFound, StorageFull, Unavailable, VersionMismatch
from storage_backends.filesystem import FilesystemBackend
from tests.contract.directory import open_directory
from tests.contract.storage_contract import Reopen, StorageContract, upload
from tests.disks import mounted


class TestFilesystem(StorageContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> StorageBackend:
        return open_directory(tmp_path)

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        return lambda: open_directory(tmp_path)


class TestUnorderedFilesystem(TestFilesystem):
    """The same where directory changes are promised no order: every changed directory is synced."""

    @pytest.fixture(autouse=True)
    def unordered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(durable, "metadata_is_ordered", lambda _: False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 4 MiB."""
    with mounted(tmp_path / "disk", "4m") as place:
        yield place


@pytest.mark.anyio
async def test_a_full_disk_is_said_and_leaves_what_was_there(small_disk: Path) -> None:
    backend = open_directory(small_disk)
    await backend.put("kept", b"bytes")
    await backend.create_upload("up/1")

    async with backend.open_upload("up/1") as writer:
        with pytest.raises(StorageFull):
            await asyncio.to_thread(writer.write, memoryview(bytes(8 << 20)))
        assert writer.size == (await backend.stat_upload("up/1")).size
        with pytest.raises(StorageFull):
            await backend.put("new", bytes(100_000))
        await writer.rewind()

    assert (await backend.get("kept")).data == b"bytes"
    await backend.put("new", bytes(100_000))
    assert sorted(os.listdir(small_disk / "$scratch")) == ["locks"]


def _make_read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)


@pytest.mark.anyio
async def test_a_read_only_disk_is_said_and_still_read(small_disk: Path) -> None:
    backend = open_directory(small_disk)
    await backend.put("kept", b"bytes")
    await upload(backend, "up/1", b"some")
    await asyncio.to_thread(_make_read_only, small_disk)

    for attempt in (backend.put("new", b""), backend.delete("kept"), backend.create_upload("up/2"), backend.check()):
        with pytest.raises(Unavailable, match="read-only"):
            await attempt

    assert (await backend.get("kept")).data == b"bytes"


@pytest.mark.anyio
async def test_an_object_and_a_prefix_cannot_share_a_name(tmp_path: Path) -> None:
    backend = open_directory(tmp_path)
    await backend.put("a/b", b"")

    for key in ("a", "a/b/c"):
        with pytest.raises(InvalidKey):
            await backend.put(key, b"")


@pytest.mark.anyio
async def test_below_an_object_there_is_no_version_to_match(tmp_path: Path) -> None:
    backend = open_directory(tmp_path)
    await backend.put("a", b"")
    version = (await backend.stat("a")).version

    with pytest.raises(VersionMismatch):
        await backend.put("a/b", b"", if_match=version)
    await backend.delete("a/b", if_match=version)


@pytest.mark.anyio
async def test_nothing_but_the_objects_lies_in_the_tree(tmp_path: Path) -> None:
    backend = open_directory(tmp_path)
    await backend.put("a/b", b"x")
    await upload(backend, "up/1", b"y")
    async with backend.open_upload("up/1") as writer:
        await writer.commit("c/d", [("c/e", b"z")])

    assert _files(tmp_path) == ["a/b", "c/d", "c/e"]


def _files(root: Path) -> list[str]:
    files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    return [name for name in files if not name.startswith("$scratch/locks/")]


def test_another_process_is_never_answered_from_an_old_copy(tmp_path: Path) -> None:
    """A small object that is kept in memory is read again as soon as somebody else has replaced it."""
    backend = open_directory(tmp_path)
    asyncio.run(backend.put("tag", b"%08d" % 0))
    old = time.time() - 60
    writer = subprocess.Popen(
        [sys.executable, "-c", _HAMMER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdin and writer.stdout

    for number in range(1, 200):
        os.utime(tmp_path / "tag", (old, old))
        asyncio.run(backend.get("tag"))
        writer.stdin.write(f"{number:08d}\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "done\n"
        assert asyncio.run(backend.get("tag")).data == b"%08d" % number
    writer.stdin.close()
    assert writer.wait() == 0
    writer.stdout.close()


_HAMMER = """
import asyncio, sys
from pathlib import Path
from storage_backends.filesystem import FilesystemBackend
backend = FilesystemBackend(Path(sys.argv[1]), scratch="$scratch")
for line in sys.stdin:
    asyncio.run(backend.put("tag", line.strip().encode()))
    print("done", flush=True)
"""


@pytest.mark.anyio
async def test_a_long_listing_is_kept_only_as_long_as_the_directory_is_the_same(tmp_path: Path) -> None:
    backend = open_directory(tmp_path)
    await backend.put_many([(f"d/{number:03}", b"") for number in range(50)])
    old = time.time() - 60
    os.utime(tmp_path / "d", (old, old))

    assert len((await backend.children("d/")).entries) == 50
    await open_directory(tmp_path).put("d/new", b"")
    assert (await backend.children("d/", after="048")).entries == ("049", "new")
    await open_directory(tmp_path).delete("d/049")
    assert (await backend.children("d/", after="048")).entries == ("new",)


def test_a_root_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match="choose a directory"):
        FilesystemBackend(tmp_path / "file")


class _RefusingKernel:
    """A disk that has refused bytes: whoever waits for them is told once, by sync_file_range(2) or by fsync(2), and not
    again, as Linux does it.
    """

    def __init__(self, number: int = errno.EIO) -> None:
        self.number = number
        self._sync = os.fsync

    def sync_file_range(self, _fd: int, _offset: object, _length: object, how: ctypes.c_uint) -> int:
        if how.value != durable._WRITE_AND_WAIT or not self.number:
            return 0
        ctypes.set_errno(self._tell())
        return -1

    def fsync(self, fd: int) -> None:
        if not self.number:
            self._sync(fd)
            return
        number = self._tell()
        raise OSError(number, os.strerror(number))

    def _tell(self) -> int:
        number, self.number = self.number, 0
        return number


@pytest.mark.anyio
async def test_bytes_that_the_disk_refuses_while_more_come_are_never_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_directory(tmp_path)
    await backend.create_upload("up/1")
    monkeypatch.setattr(durable, "_libc", _RefusingKernel())

    async with backend.open_upload("up/1") as writer:
        with pytest.raises(Unavailable, match="kernel's log"):
            for _ in range(48):
                await asyncio.to_thread(writer.write, memoryview(bytes(1024 * 1024)))
        await writer.save()

    with pytest.raises(NotFound):
        await backend.stat_upload("up/1")


@pytest.mark.anyio
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
async def test_an_upload_whose_bytes_the_disk_has_refused_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The second sync would succeed, although the bytes are lost."""
    backend = open_directory(tmp_path)
    await backend.create_upload("up/1")
    async with backend.open_upload("up/1") as writer:
        await asyncio.to_thread(writer.write, memoryview(b"bytes"))
        await writer.save()
        monkeypatch.setattr(os, "fsync", _RefusingKernel(number).fsync)
        with pytest.raises(Unavailable):
            await writer.commit("blobs/k")
        await writer.rewind()

    for gone in (backend.stat_upload("up/1"), backend.stat("blobs/k")):
        with pytest.raises(NotFound):
            await gone


@pytest.mark.anyio
async def test_a_kernel_that_cannot_drop_pages_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = open_directory(tmp_path)
    monkeypatch.setattr(durable, "_libc", _RefusingKernel(errno.ENOSYS))
    async with backend.new_upload("blobs/k") as writer:
        for _ in range(48):
            await asyncio.to_thread(writer.write, memoryview(bytes(1024 * 1024)))
        await writer.commit("blobs/k")
    assert (await backend.stat("blobs/k")).size == 48 * 1024 * 1024


@pytest.mark.anyio
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("saved", [0, 3])
async def test_an_object_whose_commit_failed_at_its_last_sync_is_not_cut_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: int, *, ordered: bool
) -> None:
    """The file is the object then, and may have replaced the same bytes, which others need."""
    monkeypatch.setattr(durable, "metadata_is_ordered", lambda _: ordered)
    backend = open_directory(tmp_path)
    await backend.put("blobs/k", b"bytes")
    await backend.create_upload("up/1")

    def fail(_: str) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with backend.open_upload("up/1") as writer:
        await asyncio.to_thread(writer.write, memoryview(b"bytes"[:saved]))
        await writer.save()
        await asyncio.to_thread(writer.write, memoryview(b"bytes"[saved:]))
        with monkeypatch.context() as patched, pytest.raises(Unavailable):
            patched.setattr(durable, "sync_directory", fail)
            await writer.commit("blobs/k")
        await writer.rewind()

    assert (await backend.get("blobs/k")).data == b"bytes"


@pytest.mark.parametrize("ordered", [True, False])
def test_a_directory_that_goes_while_it_is_to_be_synced_is_nobodys_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ordered: bool
) -> None:
    place = tmp_path / "a/b/c"
    place.mkdir(parents=True)
    synced: list[str] = []
    sync = durable.sync_directory

    def take_away(path: str) -> None:
        if path == str(place):
            place.rmdir()
            place.parent.rmdir()
        sync(path)
        synced.append(path)

    monkeypatch.setattr(durable, "sync_directory", take_away)
    durable.sync_changes([str(place)], str(tmp_path), ordered=ordered)

    assert synced[0] == str(tmp_path / "a")


@pytest.mark.anyio
@pytest.mark.parametrize("name", [".nfs0000001", ".link.Ab12Cd", "a\\b", "\u00e4"])
async def test_files_that_no_key_can_name_are_not_listed(tmp_path: Path, name: str) -> None:
    backend = open_directory(tmp_path)
    await backend.create_upload("up/1")
    for place in (name, f"up/{name}", f"{name}.d/file"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()

    assert (await backend.list("")).entries == ("up/1",)
    assert await backend.expire_uploads("up/", -60) == 1
    assert (await backend.list("up/")).entries == ()


@pytest.mark.anyio
async def test_who_looks_for_what_was_left_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that was held even for a moment would be busy for the client that goes on with it."""
    backend = open_directory(tmp_path)
    await backend.create_upload("up/1")
    (tmp_path / "$scratch" / "part").touch()
    held: list[int] = []
    monkeypatch.setattr(fcntl, "flock", lambda fd, _: held.append(fd))

    assert await backend.expire_uploads("up/", 3600) == 0

    assert not held


@pytest.mark.anyio
async def test_what_a_killed_process_was_writing_goes_an_hour_later(tmp_path: Path) -> None:
    """Nobody can go on with it, as with an upload, and it may be large."""
    backend = open_directory(tmp_path)
    await backend.create_upload("up/1")
    for name, age in (("killed", 3700), ("just killed", 60)):
        path = tmp_path / "$scratch" / name
        path.write_bytes(b"a part")
        os.utime(path, (time.time() - age, time.time() - age))

    async with backend.new_upload("blobs/k") as upload:
        await asyncio.to_thread(upload.write, memoryview(b"slow"))
        for path in (tmp_path / "$scratch").iterdir():
            if path.is_file() and "kill" not in path.name:
                os.utime(path, (1, 1))
        assert await backend.expire_uploads("up/", 7 * 86400) == 1
        await upload.commit("blobs/k")

    assert sorted(path.name for path in (tmp_path / "$scratch").iterdir()) == ["just killed", "locks"]
    assert (await backend.get("blobs/k")).data == b"slow"
    assert (await backend.stat_upload("up/1")).size == 0
    assert await backend.expire_uploads("other/", 30) == 1


@pytest.mark.anyio
async def test_a_name_of_nothing_that_a_killed_change_left_is_forgotten(tmp_path: Path) -> None:
    backend = open_directory(tmp_path)
    await backend.put("a/there", b"")
    for place in ("a/b/c/d", "a/b/e"):
        (tmp_path / place).mkdir(parents=True)

    assert await backend.forget_empty("a/b/c/", dry_run=True)
    assert (await backend.children("a/b/c/")).entries == ("d",)
    assert await backend.forget_empty("a/b/c/")
    assert (await backend.children("a/b/")).entries == ("e",)
    assert await backend.forget_empty("a/b/")
    assert await backend.forget_empty("a/b/")  # another one was faster
    assert (await backend.children("a/")).entries == ("there",)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["key", ".nfs0000001", "below/key"])
async def test_a_directory_with_any_file_is_not_empty(tmp_path: Path, name: str) -> None:
    backend = open_directory(tmp_path)
    file = tmp_path / "a/b" / name
    file.parent.mkdir(parents=True)
    (tmp_path / "a/b/0").mkdir()
    file.symlink_to(tmp_path)

    assert not await backend.forget_empty("a/b/")
    assert (tmp_path / "a/b/0").is_dir()


@pytest.mark.anyio
async def test_a_directory_that_cannot_be_read_is_not_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_directory(tmp_path)
    (tmp_path / "a/b").mkdir(parents=True)

    def fail(path: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(Unavailable):
        await backend.forget_empty("a/b/")
    assert (tmp_path / "a/b").is_dir()


@pytest.mark.anyio
async def test_a_directory_in_which_another_one_goes_at_this_moment_is_not_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_directory(tmp_path)
    await backend.put("a/b/key", b"")
    (tmp_path / "a/b/0").mkdir()
    scandir = os.scandir

    @contextmanager
    def slowly(path: str) -> Iterator[Iterator["os.DirEntry[str]"]]:
        with scandir(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        with suppress(FileNotFoundError):
            (tmp_path / "a/b/0").rmdir()
        yield iter(found)

    monkeypatch.setattr(os, "scandir", lambda path: slowly(path) if path.endswith("b") else scandir(path))
    assert not await backend.forget_empty("a/b/")


@pytest.mark.parametrize(("journal", "ordered"), [("<none>\n", False), ("314\n", True), (None, True)])
def test_an_ext4_without_a_journal_keeps_no_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: str | None, *, ordered: bool
) -> None:
    device = tmp_path.stat().st_dev
    numbers = f"{os.major(device)}:{os.minor(device)}"
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"27 1 {numbers} / / rw,relatime shared:1 - ext4 /dev/sdx1 rw\n")
    known = tmp_path / "sys/fs/ext4/sdx1"
    known.mkdir(parents=True)
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    (tmp_path / "sys/dev/block" / numbers).symlink_to("../../devices/sdx1")
    if journal is not None:
        (known / "journal_task").write_text(journal)

    assert durable.metadata_is_ordered(str(tmp_path), str(mounts), str(tmp_path / "sys")) == ordered
