"""What an S3 request asks for, told from its first line and its headers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from registry.content.keyspace import PULLS_SINCE, UPLOADS


@dataclass(frozen=True, slots=True)
class S3Request:
    """One request: the operation in S3's words, and the key; of a listing it is the prefix."""

    operation: str
    key: str

    @property
    def changes(self) -> bool:
        """True if it may change the object."""
        return self.operation in _CHANGES

    @property
    def is_a_chore(self) -> bool:
        """True if a server asks it by itself from time to time, and never because of what a client does."""
        if self.operation in {"ListMultipartUploads", "ListObjectsV2"}:
            return self.operation == "ListMultipartUploads" or self.key.endswith(UPLOADS)
        return self.key.endswith(PULLS_SINCE) or "/_pulls/" in self.key


_CHANGES = frozenset({"PutObject", "CopyObject", "DeleteObject", "CompleteMultipartUpload"})


def recognise(method: str, target: str, headers: Mapping[str, str]) -> S3Request:
    """The request with this method, path-style target and headers (names in lower case)."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    _, _, key = unquote(parts.path).lstrip("/").partition("/")
    if key:
        return S3Request(_of_object(method, query, headers), key)
    return S3Request(_of_bucket(method, query), query.get("prefix", [""])[0])


def _of_object(method: str, query: Mapping[str, object], headers: Mapping[str, str]) -> str:
    copies = "x-amz-copy-source" in headers
    if method == "POST":
        return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
    if method == "PUT" and "partNumber" in query:
        return "UploadPartCopy" if copies else "UploadPart"
    if method == "PUT":
        return "CopyObject" if copies else "PutObject"
    if method == "DELETE":
        return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
    return {"GET": "GetObject", "HEAD": "HeadObject"}[method]


def _of_bucket(method: str, query: Mapping[str, object]) -> str:
    if method == "GET":
        return "ListMultipartUploads" if "uploads" in query else "ListObjectsV2"
    return {"POST": "DeleteObjects", "PUT": "CreateBucket", "HEAD": "HeadBucket"}[method]
