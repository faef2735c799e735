"""Calls on one bucket, below one prefix. Blocking and thread-safe; the only module that makes requests of S3.

Knows boto3; must not know what the objects mean. Everything raised is the contract's. boto3 repeats what failed on the
way, with growing pauses; a call can therefore have been carried out although its first answer was lost.
"""

import random
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import boto3
from botocore.config import Config

from storage_backends.errors import NotFound, StorageError, Unavailable, VersionMismatch
from storage_backends.s3_errors import code_of, is_storage_failure, translate
from storage_backends.s3_options import S3Options

WRITE = "cargohold-write"
"""The metadata by which a conditional writer knows its own object again."""
_MET = frozenset({"ConditionalRequestConflict", "ExistingObjectIsDirectory"})
"""What servers answer (409) where calls have met, and one of them has to come again: two changes of an object; and on
versitygw a write and a deletion, which takes the directory that the write has just made.
"""
_MEETINGS = 8
_DELETE_AT_ONCE = 1000
_STRIPES = 64
Answer = dict[str, Any]


class Bucket:
    """The bucket that the options name. Keys are the contract's; the prefix comes before them here.

    Making one raises `Misconfigured` if the options cannot be used; no request is made.
    """

    def __init__(self, options: S3Options) -> None:
        self.options = options
        public = options.public_endpoint
        try:
            self._client = _client(options, options.endpoint)
            self._public = _client(options, public) if public else self._client
        except Exception as error:
            raise self._translated(error, "connecting", options.bucket) from error
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]

    def call(self, operation: str, key: str, **arguments: object) -> Answer:
        """One request about a key, in boto3's words. Raises `NotFound`, `VersionMismatch`, `Unavailable`, …"""
        return self._send(operation, key, Key=self.options.prefix + key, **arguments)

    def write(self, operation: str, key: str, **arguments: object) -> Answer:
        """As `call`, for what makes a new object."""
        return self.call(operation, key, **self.options.write_arguments, **arguments)

    def head(self, key: str) -> Answer:
        """What is known of an object. Raises `NotFound`."""
        return self.call("head_object", key)

    def get(self, key: str) -> tuple[Answer, bytes]:
        """A small object, whole. Raises `NotFound`; `Unavailable` if it breaks off again and again."""
        for attempt in range(1, self.options.attempts + 1):
            answer = self.call("get_object", key)
            try:
                return answer, answer["Body"].read()
            except Exception as error:
                # boto3 repeats what fails before the answer begins, and nothing after
                if attempt == self.options.attempts or not is_storage_failure(error):
                    raise self._translated(error, "get_object", key) from error
        raise AssertionError

    def put(
        self, key: str, data: bytes | bytearray, metadata: Mapping[str, str] | None = None, **condition: str
    ) -> str:
        """Write a small object; return its version. `condition` is IfMatch or IfNoneMatch: raises `VersionMismatch`."""
        if not condition:
            with self._alone(key):
                return self._put(key, data, metadata)
        try:
            return self._put_on_condition(key, data, metadata, condition)
        except NotFound as error:
            raise VersionMismatch(key) from error  # IfMatch on what is gone

    def _put_on_condition(
        self, key: str, data: bytes | bytearray, metadata: Mapping[str, str] | None, condition: Mapping[str, str]
    ) -> str:
        if self.options.single_writer:
            with self._alone(key):
                self._check(key, condition)
                return self._put(key, data, metadata)
        mark = uuid.uuid4().hex
        try:
            return self._put(key, data, {**(metadata or {}), WRITE: mark}, **condition)
        except VersionMismatch:
            # the answer to our first attempt may have been lost: then what is in the way is what we wrote
            etag = self._version_written(key, mark)
            if etag is None:
                raise
            return etag

    def delete(self, key: str, **condition: str) -> None:
        """Remove an object; nothing happens if it is not there. With IfMatch it raises `VersionMismatch`."""
        try:
            with self._alone(key):
                if condition and self.options.single_writer:
                    self._check(key, condition)
                    condition = {}
                self.call("delete_object", key, **condition)
        except NotFound:
            return

    def delete_all(self, keys: Sequence[str]) -> None:
        """Remove objects, a thousand with one request, in any order."""
        for start in range(0, len(keys), _DELETE_AT_ONCE):
            part = keys[start : start + _DELETE_AT_ONCE]
            objects = [{"Key": self.options.prefix + key} for key in part]
            answer = self._send("delete_objects", part[0], Delete={"Objects": objects, "Quiet": True})
            for error in answer.get("Errors", []):
                raise Unavailable(f"the storage did not delete {error.get('Key')!r}: {error.get('Code')}; try again")

    def list(self, prefix: str, **arguments: object) -> Answer:
        """A page of a listing, in boto3's words; what it names still has the bucket's prefix."""
        return self._send("list_objects_v2", prefix, Prefix=self.options.prefix + prefix, **arguments)

    def list_multipart(self, prefix: str, **arguments: object) -> Answer:
        """A page of the multipart uploads that nobody has ended."""
        return self._send("list_multipart_uploads", prefix, Prefix=self.options.prefix + prefix, **arguments)

    def presign(self, key: str, **arguments: object) -> str:
        """A URL to GET an object, signed for `link_lifetime` seconds."""
        parameters = {"Bucket": self.options.bucket, "Key": self.options.prefix + key, **arguments}
        try:
            url = self._public.generate_presigned_url(
                "get_object", Params=parameters, ExpiresIn=self.options.link_lifetime
            )
        except Exception as error:
            raise self._translated(error, "presigning", key) from error
        return str(url)

    def source(self, key: str) -> dict[str, str]:
        """An object as the source of a copy."""
        return {"Bucket": self.options.bucket, "Key": self.options.prefix + key}

    def _put(self, key: str, data: bytes | bytearray, metadata: Mapping[str, str] | None, **condition: str) -> str:
        return etag_of(self.write("put_object", key, Body=data, Metadata=dict(metadata or {}), **condition))

    def _alone(self, key: str) -> AbstractContextManager[object]:
        """Keep others from a key, where it is this process that keeps conditions: a plain write could slip in between a
        look and what follows it.
        """
        return self._stripes[hash(key) % _STRIPES] if self.options.single_writer else nullcontext()

    def _check(self, key: str, condition: Mapping[str, str]) -> None:
        """Look whether a condition holds, where this process is the only writer. Raises `VersionMismatch`."""
        try:
            found = etag_of(self.head(key))
        except NotFound:
            found = ""
        if found != condition.get("IfMatch", ""):
            raise VersionMismatch(key) if found else NotFound(key)

    def _version_written(self, key: str, mark: str) -> str | None:
        try:
            found = self.head(key)
        except NotFound:
            return None
        return etag_of(found) if found["Metadata"].get(WRITE) == mark else None

    def _send(self, operation: str, key: str, **arguments: object) -> Answer:
        for attempt in range(_MEETINGS):
            try:
                return self._raw(operation, **arguments)
            except Exception as error:
                if code_of(error) not in _MET or attempt == _MEETINGS - 1:
                    raise self._translated(error, operation, key) from error
                time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311  # not for secrets
        raise AssertionError

    def _raw(self, operation: str, **arguments: object) -> Answer:
        answer: Answer = getattr(self._client, operation)(Bucket=self.options.bucket, **arguments)
        return answer

    @staticmethod
    def _translated(error: Exception, operation: str, key: str) -> Exception:
        if isinstance(error, StorageError) or not is_storage_failure(error):
            return error
        return translate(error, operation, key)


def etag_of(answer: Answer) -> str:
    """The version of the object that an answer is about; empty if the server says none, which no condition matches."""
    return str(answer.get("ETag", ""))


def _addressing(options: S3Options, endpoint: str | None) -> str:
    """Where the bucket stands in an address. Left to itself boto3 signs URLs for the endpoint of all regions, which
    sends clients of the newer ones elsewhere, where the signature is not good.
    """
    if options.addressing == "auto" and not endpoint and "." not in options.bucket:
        return "virtual"
    return options.addressing


def _client(options: S3Options, endpoint: str | None) -> Any:
    """A client; where keys come from is decided by the options, else as every AWS program does."""
    keys = options.credentials
    session = boto3.session.Session(
        aws_access_key_id=keys.access_key if keys else None,
        aws_secret_access_key=keys.secret_key if keys else None,
        aws_session_token=keys.token if keys else None,
        profile_name=options.profile,
        region_name=options.region,
    )
    return session.client(
        "s3",
        region_name=options.region or session.region_name or "us-east-1",
        endpoint_url=endpoint,
        verify=options.ca_file,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": _addressing(options, endpoint)},
            retries={"mode": "standard", "total_max_attempts": options.attempts},
            connect_timeout=options.connect_timeout,
            read_timeout=options.read_timeout,
            # as many as calls can run at once: of the backend's two pools, and of the parts on their way
            max_pool_connections=2 * options.concurrency + options.sizes.in_flight,
            request_checksum_calculation=options.checksums,
            response_checksum_validation="when_required",  # whoever pulls compares digests
            tcp_keepalive=True,
        ),
    )
