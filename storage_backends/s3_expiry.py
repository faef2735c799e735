"""What nobody goes on with: uploads that were left, pieces that none names, parts of killed processes. Blocking."""

import time
from collections.abc import Iterator, Sequence
from itertools import chain

from storage_backends.errors import NotFound
from storage_backends.s3_bucket import Answer, Bucket


def expire(bucket: Bucket, prefix: str, scratch: str, own: Sequence[str], older_than: float) -> int:
    """Remove uploads below `prefix`, and what lies below `scratch`, if nobody has written to them for so many seconds.

    Return how many things that were. Unfinished multipart uploads are aborted wherever we write, below each prefix of
    `own`, for their key is that of the object that they were to become. Others are another program's.
    """
    latest = time.time() - older_than
    ages = dict(_objects(bucket, prefix))
    old = [key for key in ages if _last_written(ages, key) <= latest]
    old += [key for key, modified in _objects(bucket, f"{scratch}/") if modified <= latest]
    if old:
        bucket.delete_all(old)
    begun = chain.from_iterable(_unfinished(bucket, part) for part in own)
    unfinished = [upload for upload in begun if upload["Initiated"].timestamp() <= latest]
    for upload in unfinished:
        _abort(bucket, upload["Key"][len(bucket.options.prefix) :], upload["UploadId"])
    return len(old) + len(unfinished)


def _last_written(ages: dict[str, float], key: str) -> float:
    """A piece is as old as its upload: `<upload>.<name>`; one that no upload has is as old as it is."""
    return max(ages[key], ages.get(key.rpartition(".")[0], 0))


def _objects(bucket: Bucket, prefix: str) -> Iterator[tuple[str, float]]:
    more: dict[str, str] = {}
    while True:
        answer = bucket.list(prefix, **more)
        for entry in answer.get("Contents", []):
            yield entry["Key"][len(bucket.options.prefix) :], entry["LastModified"].timestamp()
        if not answer.get("IsTruncated"):
            return
        more = {"ContinuationToken": answer["NextContinuationToken"]}


def _unfinished(bucket: Bucket, prefix: str) -> Iterator[Answer]:
    more: dict[str, str] = {}
    while True:
        answer = bucket.list_multipart(prefix, **more)
        yield from answer.get("Uploads", [])
        if not answer.get("IsTruncated"):
            return
        more = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}


def _abort(bucket: Bucket, key: str, upload: str) -> None:
    try:
        bucket.call("abort_multipart_upload", key, UploadId=upload)
    except NotFound:
        return  # ended meanwhile
