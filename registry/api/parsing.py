"""Header fields and query parameters into typed values. Pure.

Sources: RFC 9110 sections 13 and 14, distribution-spec "Pushing a blob in chunks" and "Listing Tags".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from registry.api.errors import ParameterInvalid, RangeNotSatisfiable
from registry.content.errors import SizeInvalid, UploadInvalid
from registry.content.upload_sessions import ChunkRange

_CHUNK = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_BYTES = re.compile(r"bytes\s*=\s*(.*)", re.IGNORECASE)
_SPEC = re.compile(r"([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a blob: `length` bytes from `start`."""

    start: int
    length: int


def chunk_range(text: str | None, content_length: int | None) -> ChunkRange | None:
    """The `Content-Range` of a chunk; None if there is none. Raises `UploadInvalid`, `SizeInvalid`."""
    if text is None:
        return None
    found = _CHUNK.fullmatch(text)
    if found is None or int(found[2]) < int(found[1]):
        raise UploadInvalid(f"Content-Range {text[:80]!r} is not <first byte>-<last byte>, both included, from 0")
    chunk = ChunkRange(int(found[1]), int(found[2]))
    if content_length is not None and content_length != chunk.length:
        raise SizeInvalid(f"Content-Range covers {chunk.length} bytes, Content-Length says {content_length}")
    return chunk


def content_length(text: str | None) -> int | None:
    """The `Content-Length`; None if there is none. Raises `ParameterInvalid`."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ParameterInvalid(f"Content-Length {text[:40]!r} is not a number of bytes")
    return int(text)


def byte_range(text: str | None, size: int) -> ByteRange | None:
    """The one range of a `Range` header that can be served; None if the whole is to be sent.

    Several ranges, other units and bad syntax are ignored; a range that ends before it begins is rejected, as the
    conformance suite wants. RFC 9110 section 14.2 allows either. Raises `RangeNotSatisfiable`.
    """
    found = _BYTES.fullmatch(text) if text is not None else None
    spec = _SPEC.fullmatch(found[1].strip()) if found is not None else None
    if spec is None:
        return None
    if spec[3] is not None:
        length = min(int(spec[3]), size)
        if length == 0:
            raise RangeNotSatisfiable(size)
        return ByteRange(size - length, length)
    start, last = int(spec[1]), int(spec[2]) if spec[2] else size - 1
    if start >= size or (spec[2] and last < start):
        raise RangeNotSatisfiable(size)
    return ByteRange(start, min(last, size - 1) - start + 1)


def matches_etag(text: str | None, etag: str) -> bool:
    """True if an `If-None-Match` field names the entity tag, or any."""
    if text is None:
        return False
    return text.strip() == "*" or any(tag.strip().removeprefix("W/") == etag for tag in text.split(","))


def precondition(if_match: str | None, if_none_match: str | None) -> Callable[[str | None], bool] | None:
    """Whether a request that would change something may, by the entity tag of what is there (None: nothing); None if it
    may in any case. Source: RFC 9110, 13.2.2; `If-Match` compares strongly.
    """
    if if_match is not None:
        tags = [tag.strip() for tag in if_match.split(",")]
        return lambda etag: etag is not None and (etag in tags or tags == ["*"])
    if if_none_match is not None:
        return lambda etag: etag is None or not matches_etag(if_none_match, etag)
    return None


def page_size(text: str | None, default: int, largest: int) -> int:
    """The `n` of a listing: how many entries a page may have. Raises `ParameterInvalid`."""
    if text is None or text == "":
        return default
    if not text.isascii() or not text.isdigit():
        raise ParameterInvalid(f"n={text[:40]!r} is not a number of entries")
    return largest if len(text) > 9 else min(int(text), largest)
