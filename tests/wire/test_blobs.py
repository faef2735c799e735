"""Blobs: end-2 (GET, HEAD, ranges, conditions) and end-10 (DELETE)."""

import pytest

from tests.images import random_bytes
from tests.wire.repository import Repository, digest_of

_SIZE = 200_000


@pytest.fixture
def data(seed: int) -> bytes:
    return random_bytes(_SIZE, seed)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000])
def test_a_blob_comes_back_as_it_was_pushed(repository: Repository, seed: int, size: int, algorithm: str) -> None:
    data = random_bytes(size, seed)
    digest = repository.push_blob(data, algorithm)

    reply = repository.call("GET", f"blobs/{digest}")

    assert (reply.status, reply.body) == (200, data)
    assert reply.header("Content-Type") == "application/octet-stream"
    assert reply.header("Docker-Content-Digest") == digest
    assert reply.header("ETag") == f'"{digest}"'
    assert reply.header("Accept-Ranges") == "bytes"
    head = repository.call("HEAD", f"blobs/{digest}")
    assert (head.status, head.header("Content-Length")) == (200, str(size))
    assert head.header("Docker-Content-Digest") == digest


def test_a_blob_belongs_to_the_repository_that_it_was_pushed_to(
    repository: Repository, other: Repository, data: bytes
) -> None:
    digest = repository.push_blob(data)

    assert other.call("HEAD", f"blobs/{digest}").status == 404
    reply = other.call("GET", f"blobs/{digest}")
    assert (reply.status, reply.codes) == (404, ["BLOB_UNKNOWN"])
    assert reply.json["errors"][0]["detail"] == {"digest": digest}


@pytest.mark.parametrize(
    ("field", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-199", 100, 200),
        (f"bytes={_SIZE - 1}-{_SIZE - 1}", _SIZE - 1, _SIZE),
        (f"bytes=0-{_SIZE - 1}", 0, _SIZE),
        (f"bytes=0-{_SIZE * 2}", 0, _SIZE),
        ("bytes=1000-", 1000, _SIZE),
        ("bytes=0-", 0, _SIZE),
        ("bytes=-1", _SIZE - 1, _SIZE),
        ("bytes=-150000", _SIZE - 150_000, _SIZE),
        (f"bytes=-{_SIZE * 2}", 0, _SIZE),
    ],
)
def test_one_range_is_served(repository: Repository, data: bytes, field: str, start: int, end: int) -> None:
    digest = repository.push_blob(data)

    reply = repository.call("GET", f"blobs/{digest}", headers={"Range": field})

    assert (reply.status, reply.body) == (206, data[start:end])
    assert reply.header("Content-Range") == f"bytes {start}-{end - 1}/{_SIZE}"
    assert reply.header("Docker-Content-Digest") == digest


@pytest.mark.parametrize("field", ["bytes=0-1,3-4", "items=0-1", "bytes=x-y", "bytes=", "0-1"])
def test_other_ranges_are_ignored(repository: Repository, data: bytes, field: str) -> None:
    """RFC 9110 section 14.2: a server may ignore the field, and answer several ranges with the whole."""
    digest = repository.push_blob(data)

    reply = repository.call("GET", f"blobs/{digest}", headers={"Range": field})

    assert (reply.status, reply.body) == (200, data)
    assert "Content-Range" not in reply.headers


@pytest.mark.parametrize("field", [f"bytes={_SIZE}-", f"bytes={_SIZE}-{_SIZE + 5}", "bytes=-0", "bytes=10-5"])
def test_a_range_without_a_byte_is_refused_with_the_size(repository: Repository, data: bytes, field: str) -> None:
    digest = repository.push_blob(data)

    reply = repository.call("GET", f"blobs/{digest}", headers={"Range": field})

    assert reply.status == 416
    assert reply.header("Content-Range") == f"bytes */{_SIZE}"


def test_if_range_decides_between_the_part_and_the_whole(repository: Repository, data: bytes) -> None:
    """RFC 9110 section 13.1.5."""
    digest = repository.push_blob(data)
    statuses = {}
    for condition in (f'"{digest}"', f'W/"{digest}"', '"another"', "Tue, 15 Nov 1994 12:45:26 GMT"):
        headers = {"Range": "bytes=0-9", "If-Range": condition}
        statuses[condition] = repository.call("GET", f"blobs/{digest}", headers=headers).status

    assert list(statuses.values()) == [206, 200, 200, 200]


@pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', '"x", "{}"', "*"])
def test_a_blob_that_the_client_has_is_not_sent_again(repository: Repository, data: bytes, form: str) -> None:
    digest = repository.push_blob(data)

    reply = repository.call("GET", f"blobs/{digest}", headers={"If-None-Match": form.format(digest)})

    assert (reply.status, reply.body) == (304, b"")
    assert reply.header("ETag") == f'"{digest}"'
    assert repository.call("GET", f"blobs/{digest}", headers={"If-None-Match": '"x"'}).status == 200


def test_what_is_not_there_is_not_there_on_any_condition(repository: Repository) -> None:
    digest = digest_of(b"nowhere")

    for headers in ({"If-None-Match": f'"{digest}"'}, {"If-None-Match": "*"}, {"Range": "bytes=0-0"}):
        reply = repository.call("GET", f"blobs/{digest}", headers=headers)
        assert (reply.status, reply.codes) == (404, ["BLOB_UNKNOWN"])


def test_a_deleted_blob_is_gone_here_and_stays_elsewhere(
    repository: Repository, other: Repository, data: bytes
) -> None:
    digest = repository.push_blob(data)
    other.push_blob(data)

    assert repository.call("DELETE", f"blobs/{digest}").status == 202

    for method in ("GET", "HEAD", "DELETE"):
        assert repository.call(method, f"blobs/{digest}").status == 404
    assert other.call("GET", f"blobs/{digest}").body == data
    repository.push_blob(data)
    assert repository.call("GET", f"blobs/{digest}").body == data


def test_deleting_a_blob_that_is_not_there_is_not_found(repository: Repository) -> None:
    reply = repository.call("DELETE", f"blobs/{digest_of(b'nowhere')}")

    assert (reply.status, reply.codes) == (404, ["BLOB_UNKNOWN"])


@pytest.mark.parametrize(
    "digest", ["sha256:00", "sha256:" + "g" * 64, "sha256:" + "A" * 64, "md5:" + "a" * 32, "sha256:" + "a" * 65]
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_what_is_no_digest_is_said_to_be_none(repository: Repository, digest: str, method: str) -> None:
    reply = repository.call(method, f"blobs/{digest}")

    assert (reply.status, reply.codes) == (400, ["DIGEST_INVALID"])
