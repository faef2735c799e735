"""Blobs in one piece: POST and PUT (end-4a, end-6), and a single POST (end-4b)."""

import re

import pytest

from tests.images import random_bytes
from tests.wire.repository import Repository, digest_of, with_parameters
from tests.wire.wire import read_reply

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SIZES = [0, 1, 70_000, 5_000_000]


def _blocks(data: bytes, size: int = 32_768) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.fixture
def data(seed: int) -> bytes:
    return random_bytes(300_000, seed)


def test_a_session_has_an_id_of_its_own_and_a_place(repository: Repository) -> None:
    seen = set()
    for _ in range(3):
        reply = repository.call("POST", "blobs/uploads/")
        assert reply.status == 202
        assert reply.header("Range") == "0-0"
        assert _UUID.search(reply.header("Location"))
        assert reply.header("Docker-Upload-UUID") in reply.header("Location")
        seen.add(reply.header("Location"))
    assert len(seen) == 3


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", _SIZES)
def test_post_then_put(repository: Repository, seed: int, size: int, algorithm: str) -> None:
    data = random_bytes(size, seed)
    digest = digest_of(data, algorithm)

    reply = repository.finish(repository.begin(), digest, data)

    assert reply.status == 201
    assert reply.header("Docker-Content-Digest") == digest
    assert repository.wire.call("GET", reply.header("Location")).body == data


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", _SIZES)
def test_a_single_post(repository: Repository, seed: int, size: int, algorithm: str) -> None:
    data = random_bytes(size, seed)
    digest = digest_of(data, algorithm)

    reply = repository.call("POST", f"blobs/uploads/?digest={digest}", body=data)

    assert reply.status == 201
    assert reply.header("Docker-Content-Digest") == digest
    assert repository.wire.call("GET", reply.header("Location")).body == data


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("single", [True, False])
def test_a_body_of_unknown_length_is_taken_as_well(repository: Repository, seed: int, size: int, single: bool) -> None:
    data = random_bytes(size, seed)
    digest = digest_of(data)

    if single:
        reply = repository.call("POST", f"blobs/uploads/?digest={digest}", body=_blocks(data))
    else:
        reply = repository.finish(repository.begin(), digest, _blocks(data))

    assert reply.status == 201
    assert repository.call("GET", f"blobs/{digest}").body == data


@pytest.mark.parametrize(
    "parameters", ["?digest-algorithm=sha256", "?digest-algorithm=sha512", "?unknown=x", "?digest-algorithm="]
)
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_announced_algorithm_is_a_hint(
    repository: Repository, data: bytes, parameters: str, algorithm: str
) -> None:
    """end-4c; the digest of the closing PUT is what counts."""
    digest = digest_of(data, algorithm)

    reply = repository.finish(repository.begin(parameters), digest, data)

    assert (reply.status, reply.header("Docker-Content-Digest")) == (201, digest)


def test_a_digest_may_be_percent_encoded(repository: Repository, data: bytes) -> None:
    digest = digest_of(data)

    assert repository.finish(repository.begin(), digest.replace(":", "%3A"), data).status == 201
    assert repository.call("GET", f"blobs/{digest.replace(':', '%3a')}").body == data


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_client_that_waits_for_continue_is_told_to(repository: Repository, data: bytes, method: str) -> None:
    """RFC 9110 section 10.1.1; curl and Go's client do so with large bodies."""
    digest = digest_of(data)
    place = repository.begin() if method == "PUT" else repository["blobs/uploads/"]
    target = with_parameters(place, f"digest={digest}")
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\nExpect: 100-continue\r\n\r\n"
    with repository.wire.connect() as connection:
        connection.sendall(head.encode())
        assert connection.recv(len(b"HTTP/1.1 100 Continue\r\n\r\n")) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(data)
        assert read_reply(connection, method).status == 201

    assert repository.call("GET", f"blobs/{digest}").body == data


def test_a_client_that_waits_for_continue_learns_at_once_that_its_upload_is_refused(repository: Repository) -> None:
    target = with_parameters(repository.begin(), "digest=sha256:short")
    head = f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n"
    with repository.wire.connect() as connection:
        connection.sendall(head.encode())
        reply = read_reply(connection, "PUT")

    assert (reply.status, reply.codes) == (400, ["DIGEST_INVALID"])


def test_many_requests_on_one_connection_do_not_run_into_each_other(repository: Repository, data: bytes) -> None:
    digest = digest_of(data)
    with repository.wire.connect() as connection:
        for _ in range(5):
            target = with_parameters(repository.begin(), f"digest={digest}")
            head = f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
            connection.sendall(head.encode() + data)
            assert read_reply(connection, "PUT").status == 201
            connection.sendall(f"GET {repository[f'blobs/{digest}']} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert read_reply(connection).body == data


def test_a_blob_that_is_there_may_be_pushed_again(repository: Repository, data: bytes) -> None:
    first, second = repository.push_blob(data), repository.push_blob(data)

    assert first == second
    assert repository.call("GET", f"blobs/{first}").body == data
