"""The contract on a bucket: AWS, or any server that speaks S3 and honours conditional requests.

boto3 blocks, so every call runs in a thread of a pool of this backend; the event loop never waits. Races are decided by
conditional writes. A version is an entity tag: the same bytes have the same version again, so that a removal by version
may take what has just been written anew. Whoever removes what others write has to look again.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from storage_backends import s3_expiry, s3_listing
from storage_backends.base import Listing, ObjectInfo, StorageBackend, StoredObject, Upload
from storage_backends.errors import AlreadyExists, NotFound, UploadBusy, VersionMismatch
from storage_backends.keys import check_key, check_prefix
from storage_backends.s3_bucket import Answer, Bucket, etag_of
from storage_backends.s3_multipart import PartSender, Piece, assemble
from storage_backends.s3_options import S3Options
from storage_backends.s3_stream import ObjectStream, blocks
from storage_backends.s3_upload import SIZE, S3Upload, Saved, read_saved, write_saved
from storage_backends.sendable import ByteStream
from storage_backends.waiting import to_its_end

GONE = "cargohold-gone"
"""The metadata of an object that stands for none, where a bucket cannot delete on a condition."""
_CACHE = "private, max-age=31536000, immutable"
T = TypeVar("T")


class S3Backend(StorageBackend):
    """Objects in a bucket; `scratch` (a prefix of keys) takes what the backend needs for itself. Below the prefixes
    `own` nobody else writes.
    """

    def __init__(self, options: S3Options, scratch: str = "cargohold/v1/tmp", own: Sequence[str] = ("",)) -> None:
        self.concurrency = options.concurrency
        self.lists_marks = not options.conditional_delete
        self._bucket = Bucket(options)
        self._scratch = scratch
        self._own = own
        self._sender = PartSender(self._bucket)
        self._threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="s3")
        # what takes its time: nothing that is quick shall wait for it
        self._upload_threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="s3-uploads")
        self._held: set[str] = set()

    async def get(self, key: str) -> StoredObject:
        """See the contract. One request."""
        check_key(key)
        return await self._in_thread(self._get, key)

    async def put(
        self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None, durable: bool = True
    ) -> None:
        """See the contract. One request; up to three more if a condition does not hold."""
        check_key(key)
        if if_absent:
            await self._in_thread(self._create, key, data)
        elif if_match is not None:
            await self._in_thread(self._bucket.put, key, data, IfMatch=if_match)
        else:
            await self._in_thread(self._bucket.put, key, data)

    async def put_many(self, items: Sequence[tuple[str, bytes]]) -> None:
        """See the contract. A request each, one after the other."""
        for key, _ in items:
            check_key(key)
        for key, data in items:
            await self._in_thread(self._bucket.put, key, data)

    async def stat(self, key: str) -> ObjectInfo:
        """See the contract. One request."""
        check_key(key)
        return await self._in_thread(self._stat, key)

    async def delete(self, key: str, *, if_match: str | None = None, durable: bool = True) -> None:
        """See the contract. One request."""
        check_key(key)
        await self._in_thread(self._delete, key, if_match)

    async def delete_many(self, keys: Sequence[str], *, durable: bool = True) -> None:
        """See the contract. One request, and one for each thousand keys behind the first."""
        for key in keys:
            check_key(key)
        if keys:
            await self._in_thread(self._bucket.delete, keys[0])
        if len(keys) > 1:
            await self._in_thread(self._bucket.delete_all, keys[1:])

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        """See the contract. One request for each thousand keys."""
        check_prefix(prefix)
        return await self._in_thread(s3_listing.keys, self._bucket, prefix, after, limit)

    async def children(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        """See the contract. One request for each thousand names, and one for each `-` and `.` in the last of them."""
        check_prefix(prefix)
        return await self._in_thread(s3_listing.names, self._bucket, prefix, after, limit)

    async def open_read(self, key: str, start: int = 0, length: int | None = None) -> ByteStream:
        """See the contract. One request."""
        check_key(key)
        opening = self._submit(self._open, key, start, length)
        try:
            return await to_its_end(opening)
        except asyncio.CancelledError:
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                opening.result().close()  # nobody else gives the connection back
            raise

    async def presign(self, key: str, content_type: str) -> str:
        """See the contract. No request, unless credentials have to be renewed."""
        check_key(key)
        return await self._in_thread(
            self._bucket.presign, key, ResponseContentType=content_type, ResponseCacheControl=_CACHE
        )

    async def copy(self, source: str, target: str) -> None:
        """See the contract. Two requests; beyond a gigabyte one for each half."""
        check_key(source)
        check_key(target)
        size = (await self.stat(source)).size
        await self._in_thread(assemble, self._sender, target, [Piece(source, size)])

    async def create_upload(self, key: str) -> None:
        """See the contract. One request."""
        check_key(key)
        try:
            await self._in_thread(write_saved, self._bucket, key, Saved(), IfNoneMatch="*")
        except VersionMismatch as error:
            raise AlreadyExists(key) from error

    async def stat_upload(self, key: str) -> ObjectInfo:
        """See the contract. One request."""
        check_key(key)
        answer = await self._in_thread(self._bucket.head, key)
        return ObjectInfo(key, int(answer["Metadata"][SIZE]), answer["LastModified"].timestamp(), etag_of(answer))

    @asynccontextmanager
    async def open_upload(self, key: str, target: str | None = None) -> AsyncIterator[Upload]:
        """See the contract. One request."""
        check_key(key)
        if key in self._held:
            raise UploadBusy(key)
        self._held.add(key)
        try:
            saved = await self._in_thread(read_saved, self._bucket, key)
            async with self._holding(key, saved, None if saved.size else target) as upload:
                yield upload
        finally:
            self._held.discard(key)

    @asynccontextmanager
    async def new_upload(self, target: str) -> AsyncIterator[Upload]:
        """See the contract. No request."""
        check_key(target)
        async with self._holding(f"{self._scratch}/pieces", Saved(), target) as upload:
            yield upload

    async def expire_uploads(self, prefix: str, older_than: float) -> int:
        """See the contract. A request for each thousand, and one for each unfinished multipart upload."""
        check_prefix(prefix)
        return await self._in_thread(s3_expiry.expire, self._bucket, prefix, self._scratch, self._own, older_than)

    async def check(self) -> None:
        """See the contract. Three requests."""
        key = f"{self._scratch}/check-{uuid.uuid4().hex}"  # others check at the same moment
        await self.put(key, b"ready")
        await self.get(key)
        await self.delete(key)

    @asynccontextmanager
    async def _holding(self, key: str, saved: Saved, target: str | None) -> AsyncIterator[S3Upload]:
        upload = S3Upload(self._sender, self._submit_upload, key, saved, target)
        try:
            yield upload
        finally:
            await upload.release()

    def _get(self, key: str) -> StoredObject:
        answer, data = self._bucket.get(key)
        return StoredObject(data, _info(key, answer))

    def _stat(self, key: str) -> ObjectInfo:
        return _info(key, self._bucket.head(key))

    def _create(self, key: str, data: bytes) -> None:
        try:
            self._bucket.put(key, data, IfNoneMatch="*")
        except VersionMismatch:
            self._create_over_mark(key, data)

    def _create_over_mark(self, key: str, data: bytes) -> None:
        try:
            found = self._bucket.head(key)
            if not _is_mark(found):
                raise AlreadyExists(key)
            self._bucket.put(key, data, IfMatch=etag_of(found))
        except (NotFound, VersionMismatch) as error:
            raise AlreadyExists(key) from error  # at this moment; it is somebody's who was faster

    def _delete(self, key: str, version: str | None) -> None:
        if version is None:
            self._bucket.delete(key)
        elif self._bucket.options.conditional_delete:
            self._bucket.delete(key, IfMatch=version)
        else:
            self._mark_gone(key, version)

    def _mark_gone(self, key: str, version: str) -> None:
        try:
            self._bucket.put(key, b"", {GONE: "yes"}, IfMatch=version)
        except VersionMismatch:
            try:
                self._stat(key)
            except NotFound:
                return
            raise

    def _open(self, key: str, start: int, length: int | None) -> ByteStream:
        if length == 0:
            size = self._stat(key).size
            return ByteStream(_nothing(), 0, size)
        part = {"Range": f"bytes={start}-{'' if length is None else start + length - 1}"} if start or length else {}
        answer = self._bucket.call("get_object", key, **part)
        stream = ObjectStream(self._bucket, key, answer, start)
        try:
            info = _info(key, answer)
        except NotFound:
            stream.close()  # nobody else gives the connection back
            raise
        size = int(answer["ContentRange"].rpartition("/")[2]) if part else info.size
        return ByteStream(blocks(stream, self._submit), info.size, size, stream.close)

    def _submit_upload(self, work: Callable[..., T], *arguments: object) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._upload_threads, work, *arguments)

    def _submit(self, work: Callable[..., T], *arguments: object) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def _in_thread(self, work: Callable[..., T], *arguments: object, **named: Any) -> T:
        """Run blocking work. Not given up when the caller is: a request under way would go on anyway, unseen."""
        return await to_its_end(self._submit(lambda: work(*arguments, **named)))


def _info(key: str, answer: Answer) -> ObjectInfo:
    if _is_mark(answer):
        raise NotFound(key)
    return ObjectInfo(key, answer["ContentLength"], answer["LastModified"].timestamp(), etag_of(answer))


def _is_mark(answer: Answer) -> bool:
    return not answer["ContentLength"] and GONE in answer["Metadata"]


async def _nothing() -> AsyncGenerator[bytes, None]:
    nothing: tuple[bytes, ...] = ()
    for block in nothing:
        yield block
