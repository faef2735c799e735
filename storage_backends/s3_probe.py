"""Whether a bucket does what the registry relies on. Blocking; asked once before a server starts.

Several writers are kept from each other by conditional requests alone. A server that answers them as if there were no
condition would lose tags one day, in silence; so it is found out before.
"""

import uuid

from storage_backends.errors import Misconfigured, StorageError, VersionMismatch
from storage_backends.s3_bucket import Bucket

_NEVER = '"00000000000000000000000000000000"'


def probe(bucket: Bucket, scratch: str) -> None:
    """Write, read, compare and remove an object below the prefix `scratch`.

    Raises `Misconfigured` with what is missing and what to do, or `Unavailable`.
    """
    key = f"{scratch}/probe-{uuid.uuid4().hex}"
    bucket.put(key, b"probe")
    try:
        if bucket.get(key)[1] != b"probe":
            raise Misconfigured("the bucket does not give back what was just written: it is not consistent")
        if bucket.options.single_writer:
            return
        _refused(bucket, key, "a PUT with If-None-Match", IfNoneMatch="*")
        _refused(bucket, key, "a PUT with If-Match", IfMatch=_NEVER)
        if bucket.options.conditional_delete:
            _check_delete(bucket, key)
    finally:
        bucket.delete(key)


def _refused(bucket: Bucket, key: str, what: str, **condition: str) -> None:
    try:
        bucket.put(key, b"overwritten", None, **condition)
    except VersionMismatch:
        return
    except StorageError as error:
        raise Misconfigured(f"the bucket does not understand {what} ({error}): {_ALONE}") from error
    raise Misconfigured(f"the bucket carries out {what} although the condition does not hold: {_ALONE}")


def _check_delete(bucket: Bucket, key: str) -> None:
    try:
        bucket.delete(key, IfMatch=_NEVER)
    except VersionMismatch:
        return
    except StorageError as error:
        raise Misconfigured(f"the bucket does not understand a DELETE with If-Match ({error}): {_MARKS}") from error
    raise Misconfigured(f"the bucket carries out a DELETE although its If-Match does not hold: {_MARKS}")


_ALONE = (
    "several servers over it would lose pushes. Update the storage server, or, if this process is and stays the only"
    " one, set storage.s3.single_writer: true"
)
_MARKS = (
    "a tag could be lost that is moved while its old manifest is deleted. Set storage.s3.conditional_delete: false;"
    " deleted tags then leave an empty object behind"
)
