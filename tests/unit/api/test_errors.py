"""All that can go wrong has a spec code, a status and a message; what nobody foresaw is our fault and says so."""

import json
import logging

import pytest

from registry.api import errors as api_errors
from registry.api.errors import ApiError, Challenge, Forbidden, MethodNotAllowed, RangeNotSatisfiable, answer_for
from registry.content import errors as content_errors
from registry.content.errors import ContentError, RangeOutOfOrder, ReferencesUnknown
from storage_backends.errors import InvalidKey, StorageError, StorageFull, Unavailable

_SPEC_CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED", "DENIED",
    "UNSUPPORTED", "TOOMANYREQUESTS",
}  # fmt: skip
_CONTENT = [kind for kind in vars(content_errors).values() if isinstance(kind, type) and issubclass(kind, ContentError)]
_API = [kind for kind in vars(api_errors).values() if isinstance(kind, type) and issubclass(kind, ApiError)]


def _instance(kind: type[Exception]) -> Exception:
    made: dict[type[Exception], Exception] = {
        RangeOutOfOrder: RangeOutOfOrder("what to do", 5),
        ReferencesUnknown: ReferencesUnknown(["sha256:00"]),
        MethodNotAllowed: MethodNotAllowed("what to do", "GET"),
        RangeNotSatisfiable: RangeNotSatisfiable(5),
        Challenge: Challenge("what to do", 'Bearer realm="https://a"', [{"name": "a"}]),
        Forbidden: Forbidden("what to do", "a", "push"),
    }
    return made.get(kind) or kind("what to do")


@pytest.mark.parametrize("kind", [kind for kind in _CONTENT + _API if kind not in (ContentError, ApiError)])
def test_every_error_of_ours_has_an_answer(kind: type[Exception]) -> None:
    answer = answer_for(_instance(kind), "id-1")

    assert isinstance(answer.body, bytes)
    [item] = json.loads(answer.body)["errors"]
    assert item["message"]
    if answer.status < 500:
        assert item["code"] in _SPEC_CODES
    else:
        assert issubclass(kind, content_errors.ContentCorrupt | content_errors.PlaceUnavailable)
    assert (b"content-type", b"application/json") in answer.headers


@pytest.mark.parametrize(("error", "status"), [(Unavailable("disk", retry_after=7), 503), (StorageFull("full"), 507)])
def test_a_failing_storage_says_so_and_when_to_come_again(error: Unavailable, status: int) -> None:
    answer = answer_for(error, "id-1")

    assert answer.status == status
    assert (b"retry-after", str(error.retry_after).encode()) in answer.headers
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body)["errors"] == [{"code": "UNAVAILABLE", "message": str(error)}]


@pytest.mark.parametrize(
    "error", [RuntimeError("secret detail"), InvalidKey("secret detail"), StorageError("secret detail")]
)
def test_what_nobody_foresaw_is_logged_whole_and_answered_without_its_details(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = answer_for(error, "id-1")

    assert answer.status == 500
    assert isinstance(answer.body, bytes)
    [item] = json.loads(answer.body)["errors"]
    assert item["code"] == "UNKNOWN"
    assert "id-1" in item["message"]
    assert b"secret" not in answer.body
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_every_missing_reference_is_an_error_of_its_own() -> None:
    answer = answer_for(ReferencesUnknown(["sha256:00", "sha256:11"]), "id-1")

    assert isinstance(answer.body, bytes)
    items = json.loads(answer.body)["errors"]
    assert [(item["code"], item["detail"]) for item in items] == [
        ("MANIFEST_BLOB_UNKNOWN", {"digest": "sha256:00"}),
        ("MANIFEST_BLOB_UNKNOWN", {"digest": "sha256:11"}),
    ]


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (MethodNotAllowed("no", "GET, HEAD"), (b"allow", b"GET, HEAD")),
        (RangeNotSatisfiable(7), (b"content-range", b"bytes */7")),
        (RangeOutOfOrder("no", 7), (b"range", b"0-6")),
        (RangeOutOfOrder("no", 0), (b"range", b"0-0")),
        (api_errors.TooManyUploads("no"), (b"retry-after", b"5")),
    ],
)
def test_the_answer_says_what_would_have_fitted(error: Exception, field: tuple[bytes, bytes]) -> None:
    assert field in answer_for(error, "id-1").headers
