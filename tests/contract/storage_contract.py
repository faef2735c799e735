"""The storage contract as tests. A backend joins by a subclass with a `backend` fixture, see the modules beside."""

import asyncio
import os
from collections.abc import Callable

import pytest

from storage_backends.base import StorageBackend, StoredObject, Upload
from storage_backends.errors import AlreadyExists, InvalidKey, NotFound, Unavailable, UploadBusy, VersionMismatch
from storage_backends.sendable import FileRegion, Sendable

Reopen = Callable[[], StorageBackend]


async def read(sendable: Sendable) -> bytes:
    """All bytes of what a read gave; closes it."""
    try:
        if isinstance(sendable, FileRegion):
            with open(sendable.fd, "rb", closefd=False) as file:
                file.seek(sendable.offset)
                return file.read(sendable.length)
        return b"".join([block async for block in sendable.blocks])
    finally:
        sendable.close()


async def upload(backend: StorageBackend, key: str, data: bytes) -> None:
    """An upload with these bytes, not committed."""
    await backend.create_upload(key)
    async with backend.open_upload(key) as writer:
        await asyncio.to_thread(writer.write, memoryview(data))
        await writer.save()


@pytest.mark.anyio
class StorageContract:
    """What every backend promises. `reopen` gives another instance over the same data (or the same one in memory)."""

    async def test_what_was_put_is_read_back(self, backend: StorageBackend, reopen: Reopen) -> None:
        await backend.put("a/b/c", b"bytes")

        for instance in (backend, reopen()):
            found = await instance.get("a/b/c")
            assert (found.data, found.info.size) == (b"bytes", 5)
            assert await instance.stat("a/b/c") == found.info

    async def test_what_is_not_there_is_not_found(self, backend: StorageBackend) -> None:
        await backend.put("a/b", b"")

        for key in ("x", "a", "a/b/c", "a/bb"):
            with pytest.raises(NotFound):
                await backend.get(key)
            with pytest.raises(NotFound):
                await backend.stat(key)
            with pytest.raises(NotFound):
                await backend.open_read(key)

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/../b",
            "a/./b",
            ".",
            "a\0b",
            "a\nb",
            "a\\b",
            "ä",
            "a/" + "b" * 256,
            "a/" * 3000 + "b",
        ],
    )
    async def test_a_key_outside_the_grammar_is_refused_by_every_verb(self, backend: StorageBackend, key: str) -> None:
        for call in (
            lambda: backend.get(key),
            lambda: backend.stat(key),
            lambda: backend.put(key, b""),
            lambda: backend.put_many([("good", b""), (key, b"")]),
            lambda: backend.delete(key),
            lambda: backend.open_read(key),
            lambda: backend.create_upload(key),
            lambda: backend.copy("good", key),
        ):
            with pytest.raises(InvalidKey):
                await call()

    async def test_the_last_put_wins_and_changes_the_version(self, backend: StorageBackend) -> None:
        await backend.put("k", b"one")
        first = (await backend.stat("k")).version
        await backend.put("k", b"two")

        found = await backend.get("k")
        assert found.data == b"two"
        assert found.info.version != first

    async def test_put_if_absent_refuses_what_is_there(self, backend: StorageBackend) -> None:
        await backend.put("k", b"one", if_absent=True)

        with pytest.raises(AlreadyExists):
            await backend.put("k", b"two", if_absent=True)
        assert (await backend.get("k")).data == b"one"

    async def test_put_if_match_replaces_that_version_only(self, backend: StorageBackend) -> None:
        await backend.put("k", b"one")
        version = (await backend.stat("k")).version
        await backend.put("k", b"two", if_match=version)

        with pytest.raises(VersionMismatch):
            await backend.put("k", b"three", if_match=version)
        with pytest.raises(VersionMismatch):
            await backend.put("absent", b"", if_match=version)
        assert (await backend.get("k")).data == b"two"

    async def test_of_many_conditional_writers_exactly_one_wins(self, backend: StorageBackend, reopen: Reopen) -> None:
        other = reopen()
        await backend.put("match", b"start")
        version = (await backend.stat("match")).version

        async def attempt(instance: StorageBackend, number: int) -> tuple[bool, bool]:
            created = await _succeeds(instance.put("absent", b"%d" % number, if_absent=True))
            replaced = await _succeeds(instance.put("match", b"%d" % number, if_match=version))
            return created, replaced

        outcomes = await asyncio.gather(*(attempt((backend, other)[n % 2], n) for n in range(20)))

        created = [n for n, (won, _) in enumerate(outcomes) if won]
        replaced = [n for n, (_, won) in enumerate(outcomes) if won]
        assert len(created) == len(replaced) == 1
        assert (await backend.get("absent")).data == b"%d" % created[0]
        assert (await other.get("match")).data == b"%d" % replaced[0]

    async def test_many_are_put_at_once(self, backend: StorageBackend) -> None:
        await backend.put_many([(f"p/{n}", b"%d" % n) for n in range(5)])

        assert [(await backend.get(f"p/{n}")).data for n in range(5)] == [b"0", b"1", b"2", b"3", b"4"]

    async def test_delete_is_idempotent_and_leaves_no_empty_prefix(self, backend: StorageBackend) -> None:
        await backend.put_many([("a/b/c/d", b""), ("a/x", b"")])
        await backend.delete("a/b/c/d")
        await backend.delete("a/b/c/d")
        await backend.delete("never/was")

        assert (await backend.children("a/")).entries == ("x",)
        await backend.delete_many(["a/x", "a/y"])
        assert (await backend.list("")).entries == ()

    async def test_delete_if_match_removes_that_version_only(self, backend: StorageBackend) -> None:
        await backend.put("a/k", b"one")
        version = (await backend.stat("a/k")).version
        await backend.put("a/k", b"two")

        with pytest.raises(VersionMismatch):
            await backend.delete("a/k", if_match=version)
        assert (await backend.get("a/k")).data == b"two"
        await backend.delete("a/k", if_match=(await backend.stat("a/k")).version)
        await backend.delete("a/k", if_match=version)
        assert (await backend.list("")).entries == ()

    async def test_a_conditional_delete_never_takes_a_later_put(self, backend: StorageBackend, reopen: Reopen) -> None:
        other = reopen()
        for number in range(20):
            await backend.put("k", b"old")
            version = (await backend.stat("k")).version

            await asyncio.gather(_succeeds(other.delete("k", if_match=version)), backend.put("k", b"new %d" % number))

            assert (await backend.get("k")).data == b"new %d" % number

    async def test_putting_and_deleting_beside_each_other_loses_no_put(
        self, backend: StorageBackend, reopen: Reopen
    ) -> None:
        other = reopen()

        async def put(number: int) -> None:
            await backend.put(f"deep/er/{number % 3}/{number}", b"kept")

        async def churn(number: int) -> None:
            await other.put(f"deep/er/{number % 3}/gone-{number}", b"")
            await other.delete(f"deep/er/{number % 3}/gone-{number}")

        await asyncio.gather(*(work(number) for number in range(60) for work in (put, churn)))

        listing = await backend.list("deep/")
        assert sorted(listing.entries) == sorted(f"deep/er/{number % 3}/{number}" for number in range(60))

    async def test_a_part_of_an_object_is_read(self, backend: StorageBackend) -> None:
        await backend.put("k", b"0123456789")

        whole = await backend.open_read("k")
        assert (whole.length, whole.size) == (10, 10)
        assert await read(whole) == b"0123456789"
        assert await read(await backend.open_read("k", 3, 4)) == b"3456"
        assert await read(await backend.open_read("k", 7)) == b"789"

    async def test_an_open_object_is_read_to_its_end_after_it_was_replaced_and_deleted(
        self, backend: StorageBackend
    ) -> None:
        await backend.put("k", b"old bytes")
        opened = await backend.open_read("k")
        await backend.put("k", b"new")
        await backend.delete("k")

        assert await read(opened) == b"old bytes"

    async def test_a_copy_has_the_bytes_and_a_life_of_its_own(self, backend: StorageBackend) -> None:
        await backend.put("a", b"bytes" * 1000)
        await backend.copy("a", "b/c")
        await backend.delete("a")

        assert (await backend.get("b/c")).data == b"bytes" * 1000
        with pytest.raises(NotFound):
            await backend.copy("a", "d")
        with pytest.raises(NotFound):
            await backend.stat("d")

    async def test_an_upload_is_invisible_until_it_is_committed(self, backend: StorageBackend, reopen: Reopen) -> None:
        await upload(backend, "up/1", b"first ")
        assert (await reopen().stat_upload("up/1")).size == 6
        async with reopen().open_upload("up/1") as writer:
            assert writer.size == 6
            await asyncio.to_thread(writer.write, memoryview(b"second"))
            with pytest.raises(NotFound):
                await backend.stat("blobs/x")
            await writer.commit("blobs/x", [("links/x", b"link"), ("links/y", b"link")])

        assert (await backend.get("blobs/x")).data == b"first second"
        assert (await backend.get("links/y")).data == b"link"
        with pytest.raises(NotFound):
            await backend.stat_upload("up/1")
        with pytest.raises(NotFound):
            async with backend.open_upload("up/1"):
                pass

    async def test_an_upload_can_be_read_while_it_grows_where_the_storage_shows_it(
        self, backend: StorageBackend, reopen: Reopen
    ) -> None:
        await upload(backend, "up/1", b"first ")
        region = await reopen().open_unfinished("up/1")
        if region is None:
            return
        async with backend.open_upload("up/1") as writer:
            await asyncio.to_thread(writer.write, memoryview(b"second"))
            await writer.commit("final")

        assert region.length == 6
        assert os.pread(region.fd, 100, 0) == b"first second"
        region.close()
        with pytest.raises(NotFound):
            await backend.open_unfinished("up/1")

    async def test_what_goes_first_is_there_before_the_upload_becomes_visible(
        self, backend: StorageBackend, reopen: Reopen
    ) -> None:
        other = reopen()

        async def ready() -> None:
            assert (await other.get("link")).data == b"x"
            with pytest.raises(NotFound):
                await other.stat("k")

        await upload(backend, "up/1", b"bytes")
        async with backend.open_upload("up/1") as writer:
            await writer.commit("k", [("link", b"x")], ready)

        assert (await other.get("k")).data == b"bytes"

    async def test_an_upload_that_was_not_ready_can_be_committed_later(self, backend: StorageBackend) -> None:
        async def not_ready() -> None:
            raise Unavailable("not now")

        await upload(backend, "up/1", b"bytes")
        async with backend.open_upload("up/1") as writer:
            with pytest.raises(Unavailable):
                await writer.commit("k", [("link", b"x")], not_ready)
        with pytest.raises(NotFound):
            await backend.stat("k")

        async with backend.open_upload("up/1") as writer:
            await writer.commit("k", [("link", b"x")])
        assert (await backend.get("k")).data == b"bytes"

    async def test_what_need_not_be_durable_is_seen_by_all_at_once(
        self, backend: StorageBackend, reopen: Reopen
    ) -> None:
        other = reopen()
        await backend.put("a/b", b"1", durable=False)
        version = (await other.stat("a/b")).version
        await backend.put("a/b", b"22", if_match=version, durable=False)
        with pytest.raises(VersionMismatch):
            await backend.put("a/b", b"3", if_match=version, durable=False)
        with pytest.raises(AlreadyExists):
            await other.put("a/b", b"3", if_absent=True, durable=False)
        assert (await other.get("a/b")).data == b"22"

        await backend.delete("a/b", durable=False)
        with pytest.raises(NotFound):
            await other.get("a/b")
        for key in ("c", "d"):
            await backend.put(key, b"", durable=False)
        await backend.delete_many(["c", "d"], durable=False)
        assert (await other.list("")).entries == ()

    async def test_what_was_saved_stays_when_the_writer_fails(self, backend: StorageBackend, reopen: Reopen) -> None:
        await backend.create_upload("up/1")
        with pytest.raises(RuntimeError):
            async with backend.open_upload("up/1") as writer:
                await asyncio.to_thread(writer.write, memoryview(b"kept"))
                await writer.save("a note")
                raise RuntimeError

        async with reopen().open_upload("up/1") as writer:
            assert writer.size == 4
            assert writer.note in ("a note", "")
            assert b"".join(bytes(block) for block in writer.read_blocks()) == b"kept"

    async def test_an_upload_is_taken_back_to_what_was_saved(self, backend: StorageBackend) -> None:
        await upload(backend, "up/1", b"0123")
        async with backend.open_upload("up/1") as writer:
            await asyncio.to_thread(writer.write, memoryview(b"456789"))
            await writer.rewind()
            assert writer.size == 4
            await asyncio.to_thread(writer.write, memoryview(b"x"))
            await writer.save()
            await asyncio.to_thread(writer.write, memoryview(b"yz"))
            await writer.rewind()
            await asyncio.to_thread(writer.write, memoryview(b"!"))
            await writer.commit("k")

        assert (await backend.get("k")).data == b"0123x!"

    async def test_of_two_writers_one_keeps_what_it_wrote(self, backend: StorageBackend, reopen: Reopen) -> None:
        await backend.create_upload("up/1")
        kept = []

        async def write(instance: StorageBackend, data: bytes, entered: asyncio.Event, go_on: asyncio.Event) -> None:
            try:
                async with instance.open_upload("up/1") as writer:
                    entered.set()
                    await go_on.wait()
                    await asyncio.to_thread(writer.write, memoryview(data))
                    await writer.save()
                    kept.append(data)
            except UploadBusy:
                entered.set()

        first_in, second_in = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(write(backend, b"first", first_in, second_in))
        await first_in.wait()
        await asyncio.gather(first, write(reopen(), b"second", second_in, second_in))

        assert len(kept) == 1
        async with reopen().open_upload("up/1") as writer:
            assert b"".join(bytes(block) for block in writer.read_blocks()) == kept[0]

    async def test_one_process_has_one_writer_of_an_upload_at_a_time(self, backend: StorageBackend) -> None:
        await backend.create_upload("up/1")
        async with backend.open_upload("up/1"):
            with pytest.raises(UploadBusy):
                async with backend.open_upload("up/1"):
                    pass
        async with backend.open_upload("up/1") as writer:
            assert writer.size == 0

    async def test_a_new_upload_is_known_to_nobody_and_gone_at_its_end(self, backend: StorageBackend) -> None:
        async with backend.new_upload("k") as writer:
            await asyncio.to_thread(writer.write, memoryview(b"bytes"))
            with pytest.raises(NotFound):
                await backend.stat("k")
        with pytest.raises(NotFound):
            await backend.stat("k")

        async with backend.new_upload("k") as writer:
            await asyncio.to_thread(writer.write, memoryview(b"bytes"))
            await writer.commit("k", [("link", b"x")])
        assert (await backend.get("k")).data == b"bytes"
        assert (await backend.list("")).entries == ("k", "link")

    @pytest.mark.parametrize("size", [0, 10, 17 * 1024 * 1024])
    async def test_an_upload_whose_end_is_known_becomes_its_target(self, backend: StorageBackend, size: int) -> None:
        data = bytes(range(251)) * (size // 251) + b"x" * (size % 251)
        await backend.create_upload("up/1")
        async with backend.open_upload("up/1", "k") as writer:
            await asyncio.to_thread(_in_blocks, writer, data)
            assert writer.size == size
            await writer.commit("k")

        assert await read(await backend.open_read("k")) == data
        with pytest.raises(NotFound):
            await backend.stat_upload("up/1")

    async def test_uploads_that_nobody_goes_on_with_are_forgotten(self, backend: StorageBackend) -> None:
        await upload(backend, "up/1", b"x")
        await upload(backend, "other/1", b"x")
        assert await backend.expire_uploads("up/", 3600) == 0
        async with backend.open_upload("up/1"):
            pass

        assert await backend.expire_uploads("up/", -3600) == 1

        with pytest.raises(NotFound):
            await backend.stat_upload("up/1")
        assert (await backend.stat_upload("other/1")).size == 1

    async def test_an_aborted_upload_is_gone(self, backend: StorageBackend) -> None:
        await upload(backend, "up/1", b"x")
        async with backend.open_upload("up/1") as writer:
            await writer.abort()

        with pytest.raises(NotFound):
            await backend.stat_upload("up/1")

    async def test_an_upload_key_is_taken_once(self, backend: StorageBackend) -> None:
        await backend.create_upload("up/1")

        with pytest.raises(AlreadyExists):
            await backend.create_upload("up/1")

    async def test_two_uploads_may_become_the_same_object(self, backend: StorageBackend) -> None:
        for key in ("up/1", "up/2"):
            await upload(backend, key, b"same")

        async def commit(key: str) -> None:
            async with backend.open_upload(key) as writer:
                await writer.commit("k", [(f"link/{key}", b"")])

        await asyncio.gather(commit("up/1"), commit("up/2"))

        assert (await backend.get("k")).data == b"same"
        assert (await backend.list("link/")).entries == ("link/up/1", "link/up/2")

    async def test_large_uploads_keep_every_byte(self, backend: StorageBackend) -> None:
        block = bytes(range(256)) * 4096
        await backend.create_upload("up/1")
        async with backend.open_upload("up/1") as writer:
            for number in range(70):
                await asyncio.to_thread(writer.write, memoryview(bytes([number]) + block))
            await writer.commit("k")

        assert await read(await backend.open_read("k")) == b"".join(bytes([n]) + block for n in range(70))

    async def test_the_check_passes_and_leaves_nothing(self, backend: StorageBackend) -> None:
        await backend.check()

        assert (await backend.list("")).entries == ()

    async def test_checks_at_the_same_moment_do_not_hinder_each_other(
        self, backend: StorageBackend, reopen: Reopen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        get = backend.get

        async def get_when_another_has_checked(key: str) -> StoredObject:
            await reopen().check()
            return await get(key)

        monkeypatch.setattr(backend, "get", get_when_another_has_checked)
        await backend.check()


def _in_blocks(writer: Upload, data: bytes) -> None:
    for offset in range(0, len(data), 300_000):
        writer.write(memoryview(data)[offset : offset + 300_000])


async def _succeeds(attempt: object) -> bool:
    try:
        await attempt  # type: ignore[misc]
    except (AlreadyExists, VersionMismatch):
        return False
    return True
