"""Listings of a bucket in the contract's order. Blocking.

S3 lists in the order of whole keys, so that a prefix `a/` comes behind `a-b/` and `a.b/`: `-` and `.` sort before `/`.
The contract's order is that of names: `a`, `a-b`, `a.b`. A name that stands too late in a window is one that begins the
window's last name: these are looked up, and there are as many as that name has such characters.
"""

from storage_backends.base import Listing
from storage_backends.keys import is_key
from storage_backends.s3_bucket import Answer, Bucket

_PAGE = 1000


def keys(bucket: Bucket, prefix: str, after: str, limit: int) -> Listing:
    """See `StorageBackend.list`; one request for each thousand keys. What strayed here, such as the empty objects that
    consoles make for folders, is left out.
    """
    found: list[str] = []
    start = len(bucket.options.prefix)
    more = {"StartAfter": bucket.options.prefix + after} if after > prefix else {}
    while True:
        answer = bucket.list(prefix, MaxKeys=min(_PAGE, limit + 1 - len(found)), **more)
        listed = [entry["Key"][start:] for entry in answer.get("Contents", [])]
        found += [key for key in listed if is_key(key)]
        if len(found) > limit or not answer.get("IsTruncated"):
            return Listing(tuple(found[:limit]), len(found) > limit)
        more = {"ContinuationToken": answer["NextContinuationToken"]}


def names(bucket: Bucket, prefix: str, after: str, limit: int) -> Listing:
    """See `StorageBackend.children`."""
    found: set[str] = set()
    more = {"StartAfter": bucket.options.prefix + prefix + after} if after else {}
    while True:
        answer = bucket.list(prefix, Delimiter="/", MaxKeys=min(_PAGE, limit + _EXTRA), **more)
        window = _names_of(answer, len(bucket.options.prefix) + len(prefix))
        found.update(name for name in window if name > after)
        truncated = bool(answer.get("IsTruncated"))
        if truncated and window:
            found.update(name for name in _late(window[-1]) if name > after and _is_prefix(bucket, f"{prefix}{name}/"))
        if len(found) > limit or not truncated:
            page = sorted(found)
            return Listing(tuple(page[:limit]), len(page) > limit)
        more = {"ContinuationToken": answer["NextContinuationToken"]}


_EXTRA = 8
"""Entries beyond the page, for those that are left out or that tell that there are more."""


def _names_of(answer: Answer, start: int) -> list[str]:
    """The names of a page, in the bucket's order."""
    own = [entry["Key"] for entry in answer.get("Contents", [])]
    below = [entry["Prefix"] for entry in answer.get("CommonPrefixes", [])]
    return [key[start:].rstrip("/") for key in sorted(own + below)]


def _late(last: str) -> list[str]:
    """The names whose prefixes may come behind that of `last`, although they sort before it."""
    return [last[:end] for end in range(1, len(last)) if last[end] < "/"]


def _is_prefix(bucket: Bucket, prefix: str) -> bool:
    return bool(bucket.list(prefix, MaxKeys=1).get("KeyCount"))
