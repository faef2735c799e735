"""What the backend makes of a storage that fails: it tries again what passes, says at once what does not, and loses
nothing that it has acknowledged.
"""

import asyncio
import dataclasses
import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import Settings
from config.storage import S3Settings, StorageSettings
from registry.app_storage import build_backend
from registry.content import keyspace
from registry.content.repository import Registry, Rules
from storage_backends.errors import (
    AlreadyExists,
    Misconfigured,
    NotFound,
    StorageFull,
    Unavailable,
    UploadBusy,
    VersionMismatch,
)
from storage_backends.s3 import S3Backend
from storage_backends.s3_bucket import Bucket
from storage_backends.s3_options import PartSizes, S3Options
from storage_backends.s3_probe import probe
from storage_backends.s3_stream import ObjectStream
from tests.buckets.faults import Answer, Before, CutAnswer, CutRequest, Fault, Hang, LostAnswer
from tests.buckets.proxy import Proxy
from tests.contract.storage_contract import read
from tests.live_server import live_server
from tests.unit.cleanup.pushing import APP, OTHER, push

pytestmark = pytest.mark.anyio
_MIB = 1024 * 1024
_SLOW_DOWN = Answer(503, "SlowDown")


def _name(value: object) -> str | None:
    """What a test is called after."""
    if not isinstance(value, Fault):
        return None
    if isinstance(value, Answer):
        return value.code
    return type(value).__name__ + (str(value.after) if isinstance(value, CutRequest | CutAnswer) else "")


@pytest.fixture
def backend(options: S3Options) -> S3Backend:
    return S3Backend(dataclasses.replace(options, sizes=PartSizes(part=5 * _MIB)))


@pytest.mark.parametrize(
    "fault",
    [_SLOW_DOWN, Answer(500, "InternalError"), CutRequest(0), CutRequest(3), CutAnswer(0), LostAnswer(), Hang()],
    ids=_name,
)
async def test_what_passes_is_tried_again(backend: S3Backend, proxy: Proxy, fault: Fault) -> None:
    # a PUT's answer has no body to be cut, a GET's request has none
    proxy.break_("PutObject", LostAnswer() if isinstance(fault, CutAnswer) else fault, times=2)
    await backend.put("k", b"bytes")

    proxy.break_("GetObject", LostAnswer() if isinstance(fault, CutRequest) else fault, times=2)
    assert (await backend.get("k")).data == b"bytes"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (_SLOW_DOWN, "asks to slow down"),
        (Answer(500, "InternalError"), "InternalError"),
        (Answer(400, "ExpiredToken"), "ExpiredToken"),
        (Hang(), "ReadTimeoutError"),
        (CutRequest(0), "ConnectionClosedError"),
    ],
    ids=_name,
)
async def test_what_does_not_pass_is_said_and_may_be_tried_later(
    backend: S3Backend, proxy: Proxy, fault: Fault, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    times = 1 if fault == Answer(400, "ExpiredToken") else 3
    proxy.break_("PutObject", fault, times=times)

    with pytest.raises(Unavailable, match=message) as raised:
        await backend.put("some/key", b"bytes")

    assert raised.value.retry_after > 0
    assert "put_object of 'some/key' failed" in caplog.text
    await backend.put("some/key", b"bytes")


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (403, "AccessDenied", "rights"),
        (404, "NoSuchBucket", "create it"),
        (403, "InvalidAccessKeyId", "access key is unknown"),
        (403, "SignatureDoesNotMatch", "secret key is wrong"),
        (403, "RequestTimeTooSkewed", "clock"),
        (400, "AuthorizationHeaderMalformed", "region"),
        (403, "InvalidObjectState", "archive"),
    ],
)
async def test_what_the_operator_has_to_mend_is_said_at_once(
    *, backend: S3Backend, proxy: Proxy, status: int, code: str, remedy: str, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.break_("PutObject", Answer(status, code))
    with pytest.raises(Misconfigured, match=remedy):
        await backend.put("k", b"bytes")
    assert code in caplog.text


async def test_a_full_storage_is_said(backend: S3Backend, proxy: Proxy) -> None:
    proxy.break_("PutObject", Answer(507, "XMinioStorageFull"))
    proxy.break_("PutObject", Answer(507, "XMinioStorageFull"), times=2)
    with pytest.raises(StorageFull):
        await backend.put("k", b"bytes")
    proxy.mend()


async def test_a_conditional_write_whose_answer_is_lost_has_still_won(backend: S3Backend, proxy: Proxy) -> None:
    proxy.break_("PutObject", LostAnswer())
    await backend.put("k", b"first", if_absent=True)
    with pytest.raises(AlreadyExists):
        await backend.put("k", b"first", if_absent=True)

    version = (await backend.stat("k")).version
    proxy.break_("PutObject", LostAnswer())
    await backend.put("k", b"second", if_match=version)
    with pytest.raises(VersionMismatch):
        await backend.put("k", b"third", if_match=version)
    assert (await backend.get("k")).data == b"second"


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "ExistingObjectIsDirectory"])
@pytest.mark.parametrize("if_absent", [True, False])
async def test_writers_that_meet_are_asked_to_come_again(
    backend: S3Backend, proxy: Proxy, code: str, *, if_absent: bool
) -> None:
    proxy.break_("PutObject", Answer(409, code), times=3)
    await backend.put("k", b"first", if_absent=if_absent)
    assert (await backend.get("k")).data == b"first"

    proxy.break_("DeleteObject", Answer(409, "ConditionalRequestConflict"), times=3)
    await backend.delete("k", if_match=(await backend.stat("k")).version)
    with pytest.raises(NotFound):
        await backend.get("k")


@pytest.mark.parametrize("after", [0, 1000, 1_500_000, 2_999_999])
async def test_a_pull_that_breaks_off_goes_on_where_it_broke(backend: S3Backend, proxy: Proxy, after: int) -> None:
    data = bytes(range(250)) * 12_000
    await backend.put("k", data)
    proxy.break_("GetObject", CutAnswer(after), times=1)

    assert await read(await backend.open_read("k")) == data
    proxy.break_("GetObject", CutAnswer(min(after, 99)), times=1)
    assert await read(await backend.open_read("k", 1000, 2000)) == data[1000:3000]


async def test_a_long_pull_may_break_off_often_if_something_arrives_between(backend: S3Backend, proxy: Proxy) -> None:
    data = bytes(range(256)) * 4096 * 8
    await backend.put("k", data)
    proxy.break_("GetObject", CutAnswer(_MIB + 10), times=6)

    assert await read(await backend.open_read("k")) == data


async def test_a_pull_that_breaks_off_again_and_again_ends(backend: S3Backend, proxy: Proxy) -> None:
    await backend.put("k", bytes(3 * _MIB))
    proxy.break_("GetObject", CutAnswer(10), times=5)

    with pytest.raises(Unavailable, match="again and again"):
        await read(await backend.open_read("k"))


async def test_a_pull_is_never_continued_with_other_bytes(backend: S3Backend, proxy: Proxy) -> None:
    await backend.put("k", bytes(3 * _MIB))
    proxy.break_("GetObject", CutAnswer(10), times=1)
    opened = await backend.open_read("k")
    await backend.put("k", b"x" * 3 * _MIB)

    with pytest.raises(VersionMismatch):
        await read(opened)


async def test_a_pull_that_is_given_up_while_it_begins_gives_its_connection_back(
    backend: S3Backend, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backend.put("k", bytes(_MIB))
    begun, go_on, closed = threading.Event(), threading.Event(), list[ObjectStream]()

    def hold() -> None:
        begun.set()
        go_on.wait()

    def close(stream: ObjectStream) -> None:
        closed.append(stream)

    monkeypatch.setattr(ObjectStream, "close", close)
    proxy.break_("GetObject", Before(hold))
    opening = asyncio.create_task(backend.open_read("k"))
    await asyncio.to_thread(begun.wait)
    opening.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await opening
    monkeypatch.undo()

    [stream] = closed
    stream.close()


@pytest.mark.parametrize("fault", [_SLOW_DOWN, CutRequest(0), CutRequest(100_000), LostAnswer()], ids=_name)
@pytest.mark.parametrize("operation", ["UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload"])
@pytest.mark.parametrize("target", ["k", None])
async def test_an_upload_gets_through_what_passes(
    *, backend: S3Backend, proxy: Proxy, fault: Fault, operation: str, target: str | None
) -> None:
    data = bytes(range(250)) * 50_000
    proxy.break_(operation, fault)
    await backend.create_upload("up/1")
    async with backend.open_upload("up/1", target) as upload:
        await asyncio.to_thread(upload.write, memoryview(data))
        await upload.commit("k", [("link", b"x")])

    assert await read(await backend.open_read("k")) == data
    assert (await backend.list("")).entries == ("k", "link")


@pytest.mark.parametrize("operation", ["UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload", "PutObject"])
@pytest.mark.parametrize("target", ["k", None])
async def test_an_upload_that_fails_shows_nothing_and_can_be_done_again(
    *, backend: S3Backend, proxy: Proxy, operation: str, target: str | None
) -> None:
    data = bytes(range(250)) * (50_000 if operation != "PutObject" else 10)
    await backend.create_upload("up/1")
    proxy.break_(operation, _SLOW_DOWN, times=9)  # three parts, three attempts each
    with pytest.raises(Unavailable):
        async with backend.open_upload("up/1", target) as upload:
            await asyncio.to_thread(upload.write, memoryview(data))
            await upload.commit("k", [("link", b"x")])
    proxy.mend()
    with pytest.raises(NotFound):
        await backend.stat("k")

    assert (await backend.stat_upload("up/1")).size == 0
    async with backend.open_upload("up/1", target) as upload:
        await asyncio.to_thread(upload.write, memoryview(data))
        await upload.commit("k", [("link", b"x")])
    assert await read(await backend.open_read("k")) == data
    assert (await backend.list("")).entries == ("k", "link")


async def test_what_was_saved_outlives_a_failed_save(backend: S3Backend, proxy: Proxy) -> None:
    await backend.create_upload("up/1")
    async with backend.open_upload("up/1") as upload:
        await asyncio.to_thread(upload.write, memoryview(b"saved"))
        await upload.save()
        await asyncio.to_thread(upload.write, memoryview(b" and not"))
        proxy.break_("PutObject", _SLOW_DOWN, times=3)
        with pytest.raises(Unavailable):
            await upload.save()

    async with backend.open_upload("up/1") as upload:
        assert b"".join(bytes(block) for block in upload.read_blocks()) == b"saved"


async def test_what_may_have_been_saved_keeps_its_pieces(backend: S3Backend, proxy: Proxy) -> None:
    data = bytes(range(250)) * 50_000
    await backend.create_upload("up/1")
    async with backend.open_upload("up/1") as upload:
        await asyncio.to_thread(upload.write, memoryview(data))
        proxy.break_("PutObject", LostAnswer(), times=3)
        with pytest.raises(Unavailable):
            await upload.save()

    assert (await backend.stat_upload("up/1")).size == len(data)
    async with backend.open_upload("up/1") as upload:
        await asyncio.to_thread(upload.write, memoryview(b"more"))
        await upload.save()
    async with backend.open_upload("up/1") as upload:
        await upload.commit("k")
    assert await read(await backend.open_read("k")) == data + b"more"
    assert (await backend.list("")).entries == ("k",)


@pytest.mark.parametrize("after", [0, 5_000_000])
async def test_reading_back_an_upload_that_breaks_off_goes_on_where_it_broke(
    backend: S3Backend, proxy: Proxy, after: int
) -> None:
    data = bytes(range(250)) * 50_000
    await backend.create_upload("up/1")
    async with backend.open_upload("up/1") as upload:
        await asyncio.to_thread(upload.write, memoryview(data))
        await upload.save()

    proxy.break_("GetObject", CutAnswer(after), part="up/1.")
    async with backend.open_upload("up/1") as upload:
        assert b"".join([bytes(block) for block in await asyncio.to_thread(list, upload.read_blocks())]) == data


async def test_an_upload_that_another_process_has_ended_is_not_brought_back(
    backend: S3Backend, options: S3Options
) -> None:
    await backend.create_upload("up/1")
    async with backend.open_upload("up/1") as upload:
        await asyncio.to_thread(upload.write, memoryview(b"late"))
        async with S3Backend(options).open_upload("up/1") as other:
            await other.abort()
        with pytest.raises(UploadBusy):
            await upload.save()
    with pytest.raises(NotFound):
        await backend.stat_upload("up/1")


async def test_unfinished_parts_are_found_and_aborted(backend: S3Backend, options: S3Options, proxy: Proxy) -> None:
    proxy.break_("AbortMultipartUpload", _SLOW_DOWN, times=3)
    async with backend.new_upload("k") as upload:
        await asyncio.to_thread(upload.write, memoryview(bytes(6 * _MIB)))
    assert len(Bucket(options).list_multipart("").get("Uploads", [])) == 1

    assert await backend.expire_uploads("up/", 3600) == 0
    assert await backend.expire_uploads("up/", -3600) == 1
    assert Bucket(options).list_multipart("").get("Uploads", []) == []


async def test_what_other_programs_have_begun_in_the_bucket_is_theirs(options: S3Options) -> None:
    bucket = Bucket(dataclasses.replace(options, prefix=""))
    ours = ("docker/registry/v2/repositories/app/_uploads/1/data", "cargohold/v1/quarantine/sha256/aa")
    others = ("backups/today.tar", "cargohold/v10/x", "docker/registry/v20/x")
    for key in (*ours, *others):
        bucket.call("create_multipart_upload", key)
    assert options.credentials and options.endpoint
    s3 = S3Settings(
        bucket=options.bucket,
        endpoint=options.endpoint,
        addressing="path",
        access_key_id=options.credentials.access_key,
        secret_access_key=SecretStr(options.credentials.secret_key),
    )

    backend = build_backend(Settings(storage=StorageSettings(s3=s3)))
    assert await backend.expire_uploads(keyspace.UPLOADS, -3600) == len(ours)

    assert {upload["Key"] for upload in bucket.list_multipart("")["Uploads"]} == set(others)


async def test_pieces_go_with_their_upload_and_not_before(backend: S3Backend) -> None:
    await backend.create_upload("up/1")
    async with backend.open_upload("up/1") as upload:
        await asyncio.to_thread(upload.write, memoryview(bytes(6 * _MIB)))
        await upload.save()
    assert len((await backend.list("up/")).entries) == 2

    assert await backend.expire_uploads("up/", 3600) == 0
    assert await backend.expire_uploads("up/", -3600) == 2
    assert (await backend.list("")).entries == ()


async def test_an_object_beyond_the_number_of_parts_is_put_together_of_pieces(options: S3Options) -> None:
    sizes = PartSizes(part=5 * _MIB, segment=10 * _MIB, direct_parts=2, copy_part=6 * _MIB)
    backend = S3Backend(dataclasses.replace(options, sizes=sizes))
    data = b"".join(bytes([number]) * _MIB for number in range(43))
    await backend.create_upload("up/1")
    for key, target in (("direct", "direct"), ("gathered", None)):
        await backend.create_upload(f"up/{key}")
        async with backend.open_upload(f"up/{key}", target) as upload:
            await asyncio.to_thread(upload.write, memoryview(data))
            await upload.commit(key)
        assert await read(await backend.open_read(key)) == data
    await backend.copy("direct", "copied")
    assert await read(await backend.open_read("copied")) == data
    assert (await backend.list("")).entries == ("copied", "direct", "gathered", "up/1")


class TestWithoutConditionalDeletes:
    @pytest.fixture
    def backend(self, options: S3Options) -> S3Backend:
        return S3Backend(dataclasses.replace(options, conditional_delete=False))

    async def test_what_was_deleted_is_not_there_and_can_be_made_again(self, backend: S3Backend) -> None:
        await backend.put("k", b"one")
        version = (await backend.stat("k")).version
        await backend.put("k", b"two")
        with pytest.raises(VersionMismatch):
            await backend.delete("k", if_match=version)
        await backend.delete("k", if_match=(await backend.stat("k")).version)

        for call in (backend.get("k"), backend.stat("k"), backend.open_read("k")):
            with pytest.raises(NotFound):
                await call
        await backend.delete("k", if_match=version)
        await backend.put("k", b"three", if_absent=True)
        with pytest.raises(AlreadyExists):
            await backend.put("k", b"four", if_absent=True)
        assert (await backend.get("k")).data == b"three"

    async def test_what_was_deleted_can_be_made_again_when_the_storage_has_learnt_conditions(
        self, backend: S3Backend, options: S3Options
    ) -> None:
        await backend.put("k", b"one")
        await backend.delete("k", if_match=(await backend.stat("k")).version)

        later = S3Backend(options)
        with pytest.raises(NotFound):
            await later.get("k")
        await later.put("k", b"two", if_absent=True)
        with pytest.raises(AlreadyExists):
            await later.put("k", b"three", if_absent=True)
        assert (await later.get("k")).data == b"two"

    async def test_a_repository_from_which_everything_was_deleted_is_not_listed(self, backend: S3Backend) -> None:
        registry = Registry(backend, Rules())
        digest = await push(registry, "latest", b"a layer")
        await push(registry, "latest", b"a layer", name=OTHER)
        await registry.delete_manifest(APP, digest)
        assert (await backend.list(keyspace.manifests(APP))).entries, "a mark in the place of the tag"

        assert (await registry.repositories("", 10)).names == (OTHER,)
        await push(registry, "latest", b"a layer")
        assert (await registry.repositories("", 10)).names == (OTHER, APP)

    async def test_a_put_at_the_same_moment_stays(self, backend: S3Backend, proxy: Proxy, options: S3Options) -> None:
        await backend.put("k", b"old")
        version = (await backend.stat("k")).version

        def put() -> None:
            Bucket(options).put("k", b"new")

        proxy.break_("PutObject", Before(put))
        with pytest.raises(VersionMismatch):
            await backend.delete("k", if_match=version)
        assert (await backend.get("k")).data == b"new"


class TestProbe:
    @pytest.fixture(autouse=True)
    def _quiet(self, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        with caplog.at_level(logging.CRITICAL):
            yield

    def test_a_bucket_that_keeps_its_conditions_passes_and_is_left_empty(self, options: S3Options) -> None:
        bucket = Bucket(options)
        probe(bucket, "tmp")
        assert "Contents" not in bucket.list("")

    def test_a_bucket_that_is_not_there_is_named(self, options: S3Options) -> None:
        with pytest.raises(Misconfigured, match=r"storage\.s3\.bucket"):
            probe(Bucket(dataclasses.replace(options, bucket="no-such-bucket")), "tmp")

    @pytest.mark.parametrize(
        ("ignored", "remedy"),
        [("IfNoneMatch", "single_writer"), ("IfMatch", "single_writer"), ("delete", "conditional_delete: false")],
    )
    def test_a_bucket_that_ignores_a_condition_is_refused(
        self, options: S3Options, monkeypatch: pytest.MonkeyPatch, ignored: str, remedy: str
    ) -> None:
        bucket = Bucket(options)
        send = bucket._raw

        def careless(operation: str, **arguments: object) -> object:
            if ignored != "delete" or operation == "delete_object":
                arguments.pop("IfMatch" if ignored == "delete" else ignored, None)
            return send(operation, **arguments)

        monkeypatch.setattr(bucket, "_raw", careless)
        with pytest.raises(Misconfigured, match=remedy):
            probe(bucket, "tmp")

    def test_one_writer_needs_no_conditions_and_keeps_its_own(self, options: S3Options) -> None:
        bucket = Bucket(dataclasses.replace(options, single_writer=True))
        probe(bucket, "tmp")
        etag = bucket.put("k", b"one", IfNoneMatch="*")
        with pytest.raises(VersionMismatch):
            bucket.put("k", b"two", IfNoneMatch="*")
        bucket.put("k", b"two", IfMatch=etag)
        with pytest.raises(VersionMismatch):
            bucket.delete("k", IfMatch=etag)
        with pytest.raises(VersionMismatch):
            bucket.put("absent", b"", IfMatch=etag)


def test_a_server_does_not_start_over_a_bucket_that_it_cannot_use(settings: Mapping[str, str], tmp_path: Path) -> None:
    wrong = {**settings, "CARGOHOLD_STORAGE__S3__BUCKET": "no-such-bucket"}
    with pytest.raises(RuntimeError, match=r"ended with 1 .*(?s:.*)create it, or correct storage\.s3\.bucket"):
        live_server(tmp_path, environment=wrong).__enter__()
