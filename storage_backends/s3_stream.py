"""The bytes of an object as they come from the bucket, for a client that may be slower.

One block is sent while the next is fetched. A connection to the storage that breaks is taken up where it broke.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

from botocore.exceptions import BotoCoreError
from urllib3.exceptions import HTTPError

from storage_backends.errors import Unavailable
from storage_backends.s3_bucket import Answer, Bucket, etag_of

_BLOCK = 1024 * 1024
_RESUMPTIONS = 4
"""How often in a row, without a whole block between."""
_log = logging.getLogger(__name__)
InThread = Callable[..., "asyncio.Future[Any]"]


class ObjectStream:
    """What `answer`, the beginning of an object's bytes from `start`, is to bring."""

    def __init__(self, bucket: Bucket, key: str, answer: Answer, start: int) -> None:
        self._bucket = bucket
        self._key = key
        self._version = etag_of(answer)
        self._body = answer["Body"]
        self._offset = start
        self._end = start + answer["ContentLength"]
        self._failures = 0
        self._closed = False

    def close(self) -> None:
        """Give the connection back, or close it if bytes are still to come. A thread that reads ends with that."""
        self._closed = True
        self._body.close()

    def read(self) -> bytes:
        """The next block; nothing at the end. *Blocking*. Raises `Unavailable`."""
        while self._offset < self._end and not self._closed:
            wanted = min(_BLOCK, self._end - self._offset)
            try:
                block: bytes = self._body.read(wanted)
            except (BotoCoreError, HTTPError, OSError) as error:
                self._resume(error)
                continue
            if not block:
                self._resume(EOFError("the answer ended too early"))
                continue
            self._offset += len(block)
            if len(block) == wanted:
                self._failures = 0
            return block
        return b""

    def _resume(self, error: Exception) -> None:
        if self._closed:
            return
        self._body.close()
        self._failures += 1
        _log.warning("S3 get_object of %r broke off at byte %d: %s", self._key, self._offset, error)
        if self._failures > _RESUMPTIONS:
            raise Unavailable("the storage breaks off again and again") from error
        part = f"bytes={self._offset}-{self._end - 1}"
        self._body = self._bucket.call("get_object", self._key, Range=part, IfMatch=self._version)["Body"]


async def blocks(stream: ObjectStream, in_thread: InThread) -> AsyncGenerator[bytes, None]:
    """All blocks of a stream, each fetched while the one before is used."""
    coming = in_thread(stream.read)
    try:
        while block := await coming:
            coming = in_thread(stream.read)
            yield block
    finally:
        # the thread must be out of the body before that is closed
        await asyncio.wait({coming})
        stream.close()
