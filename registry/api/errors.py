"""The one place where what went wrong becomes an answer: exception -> spec code, status, message, remedy.

Source: distribution-spec, "Error Codes". Handlers raise and never build an error body.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auth import errors as auth
from registry.api.request import Answer, header
from registry.content import errors as content
from registry.content.leases import CollectorBusy
from storage_backends import errors as storage

_log = logging.getLogger(__name__)
_MAX_ITEMS = 1000
"""No image has so many layers, and an answer must not be larger than the question."""


class ApiError(Exception):
    """The request itself cannot be served, whatever the registry holds."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NoSuchEndpoint(ApiError):
    """Nothing is served at this path."""


class MethodNotAllowed(ApiError):
    """The resource is there, but not with this method."""

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed


class ParameterInvalid(ApiError):
    """A query parameter or header cannot be understood."""


class DeletionDisabled(ApiError):
    """The registry's settings forbid to delete."""


class ReadOnly(ApiError):
    """The registry's settings forbid to change anything."""


class Challenge(ApiError):
    """The client has to show (other) credentials: `challenge` is the `WWW-Authenticate` to answer, `needs` says for
    what.
    """

    def __init__(self, message: str, challenge: str, needs: Sequence[Mapping[str, object]]) -> None:
        super().__init__(message)
        self.challenge = challenge
        self.needs = needs


class Forbidden(ApiError):
    """Whoever asks is known and may not do it."""

    def __init__(self, message: str, name: str, action: str) -> None:
        super().__init__(message)
        self.name = name
        self.action = action


class Hidden(content.NameUnknown):
    """Whoever asks may not know whether the repository exists; told as if it did not."""


class TooManyUploads(ApiError):
    """As many uploads run as the settings allow."""


class RangeNotSatisfiable(ApiError):
    """No byte of the asked range exists; `size` is the blob's, in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the blob has {size} bytes; ask for a range within them")
        self.size = size


@dataclass(frozen=True, slots=True)
class _Entry:
    code: str
    status: int


TABLE: Mapping[type[BaseException], _Entry] = {
    content.NameInvalid: _Entry("NAME_INVALID", 400),
    content.TagInvalid: _Entry("MANIFEST_INVALID", 400),
    content.NameUnknown: _Entry("NAME_UNKNOWN", 404),
    content.DigestInvalid: _Entry("DIGEST_INVALID", 400),
    content.SizeInvalid: _Entry("SIZE_INVALID", 400),
    content.BlobTooLarge: _Entry("SIZE_INVALID", 413),
    content.BlobUnknown: _Entry("BLOB_UNKNOWN", 404),
    content.UploadUnknown: _Entry("BLOB_UPLOAD_UNKNOWN", 404),
    content.UploadInvalid: _Entry("BLOB_UPLOAD_INVALID", 400),
    content.UploadConflict: _Entry("BLOB_UPLOAD_INVALID", 409),
    content.RangeOutOfOrder: _Entry("BLOB_UPLOAD_INVALID", 416),
    content.UploadInterrupted: _Entry("BLOB_UPLOAD_INVALID", 400),
    content.ManifestUnknown: _Entry("MANIFEST_UNKNOWN", 404),
    content.TagImmutable: _Entry("DENIED", 409),
    content.TagChanged: _Entry("DENIED", 412),
    content.ManifestInvalid: _Entry("MANIFEST_INVALID", 400),
    content.ManifestTooLarge: _Entry("MANIFEST_INVALID", 413),
    content.ReferencesUnknown: _Entry("MANIFEST_BLOB_UNKNOWN", 404),
    CollectorBusy: _Entry("DENIED", 409),
    content.ContentCorrupt: _Entry("UNKNOWN", 500),
    content.PlaceUnavailable: _Entry("UNAVAILABLE", 503),
    content.PlaceRateLimited: _Entry("TOOMANYREQUESTS", 429),
    content.PlaceCorrupt: _Entry("UNAVAILABLE", 502),
    content.PlaceRefused: _Entry("DENIED", 403),
    content.MirrorReadOnly: _Entry("UNSUPPORTED", 405),
    content.NotMirrored: _Entry("DENIED", 403),
    storage.Unavailable: _Entry("UNAVAILABLE", 503),
    storage.StorageFull: _Entry("UNAVAILABLE", 507),
    storage.Misconfigured: _Entry("UNKNOWN", 500),
    NoSuchEndpoint: _Entry("UNSUPPORTED", 404),
    MethodNotAllowed: _Entry("UNSUPPORTED", 405),
    ParameterInvalid: _Entry("UNSUPPORTED", 400),
    DeletionDisabled: _Entry("UNSUPPORTED", 405),
    ReadOnly: _Entry("UNSUPPORTED", 405),
    Challenge: _Entry("UNAUTHORIZED", 401),
    Forbidden: _Entry("DENIED", 403),
    auth.Throttled: _Entry("TOOMANYREQUESTS", 429),
    auth.IdentityUnavailable: _Entry("UNAVAILABLE", 503),
    TooManyUploads: _Entry("TOOMANYREQUESTS", 429),
    RangeNotSatisfiable: _Entry("SIZE_INVALID", 416),
}


_PRIVATE: Mapping[type[BaseException], str] = {
    auth.IdentityUnavailable: "logins cannot be checked now; try again later",
    storage.Misconfigured: "the registry's storage refuses this; its operator finds the reason in the log",
}
"""What a client is told instead of a cause that is for the log alone."""


def answer_for(error: Exception, request_id: str) -> Answer:
    """The answer to a request that ended in `error`. What the table does not know is our fault: 500, traceback."""
    entry = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    if entry is None:
        _log.error("request %s failed", request_id, exc_info=error)
        message = f"internal error; the server's log has the details under request id {request_id}"
        return error_answer(500, [_item("UNKNOWN", message, None)])
    if entry.status >= 500:
        _log.error("request %s: %s", request_id, error)
    answer = error_answer(entry.status, _items(entry.code, error))
    answer.headers.extend(_fields(error))
    return answer


def error_answer(status: int, items: list[dict[str, object]]) -> Answer:
    """An answer in the spec's error format."""
    body = json.dumps({"errors": items}).encode()
    return Answer(status, [(b"content-type", b"application/json")], body)


def _item(code: str, message: str, detail: object) -> dict[str, object]:
    item: dict[str, object] = {"code": code, "message": message}
    if detail is not None:
        item["detail"] = detail
    return item


def _items(code: str, error: Exception) -> list[dict[str, object]]:
    if isinstance(error, content.ReferencesUnknown):
        items = [
            _item(code, f"{digest} is not in this repository; push it before the manifest", {"digest": digest})
            for digest in error.missing[:_MAX_ITEMS]
        ]
        return [*items, _item(code, "more may be missing", None)] if len(items) == _MAX_ITEMS else items
    if isinstance(error, content.ContentError):
        return [_item(code, error.message, error.detail)]
    if isinstance(error, Challenge):
        return [_item(code, error.message, list(error.needs) or None)]
    if isinstance(error, Forbidden):
        return [_item(code, error.message, {"name": error.name, "action": error.action})]
    private = next((message for kind, message in _PRIVATE.items() if isinstance(error, kind)), None)
    return [_item(code, private or str(error), None)]


def _fields(error: Exception) -> list[tuple[bytes, bytes]]:
    name, value = "", ""
    match error:
        case MethodNotAllowed(allowed=allowed):
            name, value = "allow", allowed
        case RangeNotSatisfiable(size=size):
            name, value = "content-range", f"bytes */{size}"
        case content.RangeOutOfOrder(offset=offset):
            name, value = "range", f"0-{max(offset - 1, 0)}"
        case Challenge(challenge=challenge):
            name, value = "www-authenticate", challenge
        case (
            storage.Unavailable(retry_after=seconds)
            | content.PlaceUnavailable(retry_after=seconds)
            | auth.Throttled(retry_after=seconds)
            | auth.IdentityUnavailable(retry_after=seconds)
        ):
            name, value = "retry-after", str(seconds)
        case TooManyUploads():
            name, value = "retry-after", "5"
    return [header(name, value)] if name else []
