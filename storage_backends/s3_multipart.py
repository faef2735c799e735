"""Objects that are too large for one request: parts sent side by side, and copies inside the bucket. Blocking.

Knows S3's multipart uploads; must not know what an upload session is. What `complete` has not ended is invisible, and
is left behind by a killed process until `s3_expiry` finds it.
"""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from storage_backends.errors import Misconfigured, NotFound, StorageError, Unavailable
from storage_backends.s3_bucket import Answer, Bucket

_COPY_LIMIT = 5 * 1024**3
"""The largest object that one CopyObject copies, in bytes."""
_COPIES = 5_000
"""About so many copies make the largest objects: half of the parts that there may be."""


class PartSender:
    """The threads that send parts, and the buffers that hold them, for all uploads of this process together.

    No more than `in_flight` parts are on their way at once: each of them is a buffer in memory. Buffers are used again:
    freed and taken anew each time, they would leave holes that add up.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        count = bucket.options.sizes.in_flight
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="s3-parts")
        self._places = threading.BoundedSemaphore(count)
        self._spare: deque[bytearray] = deque(maxlen=count)

    def take_buffer(self) -> bytearray:
        """A buffer of the size of a part, with anything in it."""
        try:
            return self._spare.pop()
        except IndexError:
            return bytearray(self.bucket.options.sizes.part)

    def give_buffer(self, buffer: bytearray) -> None:
        """Give back what `take_buffer` gave; one of another size is nobody's."""
        if len(buffer) == self.bucket.options.sizes.part:
            self._spare.append(buffer)

    def send(self, operation: str, key: str, **arguments: object) -> "Future[Answer]":
        """Begin a call; waits for a place first."""
        self._places.acquire()
        future = self._threads.submit(self.bucket.call, operation, key, **arguments)
        future.add_done_callback(lambda _: self._places.release())
        return future


@dataclass(frozen=True, slots=True)
class Piece:
    """The first `length` bytes of an object."""

    key: str
    length: int


class MultipartWriter:
    """One multipart upload that becomes the object `key`. Used by one thread at a time."""

    def __init__(self, sender: PartSender, key: str) -> None:
        self.key = key
        self._sender = sender
        self._bucket = sender.bucket
        self._pending: deque[tuple[int, Future[Answer]]] = deque()
        self._done: list[dict[str, object]] = []
        self.parts = 0
        # each part is checked as it arrives; no checksum of the whole: not every server has one of copied parts
        self._id: str = self._bucket.write("create_multipart_upload", key)["UploadId"]

    def add(self, data: bytes) -> None:
        """Send the next part, which may be small if it is the last one. It is not waited for."""
        self._begin("upload_part", Body=data)

    def add_buffer(self, buffer: bytearray) -> None:
        """Send a full buffer as the next part, and give it back then. It is not waited for."""
        part = self._begin("upload_part", Body=buffer)
        part.add_done_callback(lambda _: self._sender.give_buffer(buffer))

    def add_copy(self, piece: Piece, start: int, length: int) -> None:
        """Make the next part from `length` bytes of another object, inside the bucket."""
        self._begin(
            "upload_part_copy",
            CopySource=self._bucket.source(piece.key),
            CopySourceRange=f"bytes={start}-{start + length - 1}",
        )

    def _begin(self, operation: str, **arguments: object) -> "Future[Answer]":
        self.parts += 1
        self._collect(self._bucket.options.sizes.in_flight)
        part = self._sender.send(operation, self.key, UploadId=self._id, PartNumber=self.parts, **arguments)
        self._pending.append((self.parts, part))
        return part

    def wait(self) -> None:
        """Return when all parts so far are on the storage. Raises what went wrong with one."""
        self._collect(0)

    def complete(self) -> None:
        """Make the object appear, whole."""
        self.wait()
        try:
            self._bucket.call(
                "complete_multipart_upload", self.key, UploadId=self._id, MultipartUpload={"Parts": self._done}
            )
        except NotFound as error:
            # the answer to an earlier attempt was lost, or somebody aborted the upload: the object tells
            self._check_completed(error)

    def abort(self) -> None:
        """Forget the parts. What cannot be removed now is found by `s3_expiry` later."""
        for _, part in self._pending:
            part.exception()  # parts that arrive after the abort would stay
        self._pending.clear()
        try:
            self._bucket.call("abort_multipart_upload", self.key, UploadId=self._id)
        except (NotFound, Unavailable, Misconfigured):
            return  # translated, and so in the log; the error that counts is the one that brought us here

    def _collect(self, leave: int) -> None:
        while len(self._pending) > leave or (self._pending and self._pending[0][1].done()):
            number, part = self._pending.popleft()
            answer = part.result()
            answer = answer.get("CopyPartResult", answer)
            self._done.append({"PartNumber": number, "ETag": answer["ETag"]})

    def _check_completed(self, error: StorageError) -> None:
        try:
            etag = str(self._bucket.head(self.key)["ETag"])
        except NotFound:
            etag = ""
        if not etag.strip('"').endswith(f"-{self.parts}"):
            raise Unavailable("the storage has lost the parts of an upload; push again") from error


def assemble(sender: PartSender, key: str, pieces: Sequence[Piece], rest: bytes = b"") -> None:
    """Make the object `key` of other objects, one behind the other, and `rest`; no byte of theirs leaves the bucket."""
    size = sender.bucket.options.sizes.copy_part
    if len(pieces) == 1 and not rest and pieces[0].length <= min(_COPY_LIMIT, 2 * size):
        sender.bucket.write("copy_object", key, CopySource=sender.bucket.source(pieces[0].key))
        return
    writer = MultipartWriter(sender, key)
    try:
        size = max(size, sum(piece.length for piece in pieces) // _COPIES)
        for piece in pieces:
            _add_copies(writer, piece, size)
        if rest:
            writer.add(rest)
        writer.complete()
    except BaseException:
        writer.abort()
        raise


def _add_copies(writer: MultipartWriter, piece: Piece, size: int) -> None:
    """Copy an object in parts of `size` bytes side by side; the last one is larger, for none may be too small."""
    count = max(1, piece.length // size)
    for number in range(count):
        start = number * size
        writer.add_copy(piece, start, piece.length - start if number == count - 1 else size)
