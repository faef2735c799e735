"""What bad uploads get: the spec's code, a message that helps, and nothing left on the storage."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.images import random_bytes
from tests.wire.bystander import bystander
from tests.wire.repository import Repository, digest_of, with_parameters
from tests.wire.tree import Storage
from tests.wire.wire import Reply, Wire, raw_exchange, read_reply

_UPLOADS = "cargohold/v1/uploads/"


@pytest.fixture(autouse=True)
def earlier_content_reads_back(wire: Wire, seed: int) -> Iterator[None]:
    with bystander(wire, seed):
        yield


@pytest.fixture
def data(seed: int) -> bytes:
    return random_bytes(150_000, seed)


def _head(method: str, target: str, fields: str) -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n".encode()


def _assert_refused(reply: Reply, status: int, code: str, *words: str) -> None:
    assert (reply.status, reply.codes) == (status, [code])
    for word in words:
        assert word in reply.message, reply.message


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("form", ["put", "chunks", "single post", "single post in chunks"])
def test_a_wrong_digest(repository: Repository, storage: Storage, data: bytes, algorithm: str, form: str) -> None:
    wrong, right = digest_of(b"something else", algorithm), digest_of(data, algorithm)
    with storage.unchanged():
        location = repository.begin()
        if form == "put":
            reply = repository.finish(location, wrong, data)
        elif form == "chunks":
            repository.append(location, data[:1000], "0-999")
            reply = repository.finish(location, wrong, data[1000:], f"1000-{len(data) - 1}")
        else:
            repository.wire.call("DELETE", location)
            body = data if form == "single post" else [data]
            reply = repository.call("POST", f"blobs/uploads/?digest={wrong}", body=body)

        _assert_refused(reply, 400, "DIGEST_INVALID", wrong, right)
        _assert_refused(repository.wire.call("GET", location), 404, "BLOB_UPLOAD_UNKNOWN")
        for digest in (wrong, right):
            assert repository.call("HEAD", f"blobs/{digest}").status == 404


@pytest.mark.parametrize(
    ("digest", "word"),
    [
        ("md5:" + "a" * 32, "'md5' is not supported; use sha256 or sha512"),
        ("sha384:" + "a" * 96, "not supported"),
        ("sha256:" + "a" * 63, "64 lower-case hex digits"),
        ("sha256:" + "A" * 64, "64 lower-case hex digits"),
        ("sha256:", "is not a digest"),
        ("nonsense", "is not a digest"),
        ("", "is not a digest"),
        ("sha256:..%2F..%2F..%2Fetc%2Fpasswd", "is not a digest"),
        ("sha256:" + "a" * 64 + "%00", "is not a digest"),
        ("sha256:" + "a" * 64 + "%0A", "is not a digest"),
        ("sha256:" + "a" * 10_000, "64 lower-case hex digits"),
    ],
)
def test_a_digest_of_an_unknown_or_malformed_algorithm(
    repository: Repository, storage: Storage, data: bytes, digest: str, word: str
) -> None:
    with storage.unchanged():
        location = repository.begin()
        _assert_refused(repository.finish(location, digest, data), 400, "DIGEST_INVALID", word)
        reply = repository.call("POST", f"blobs/uploads/?digest={digest}", body=data)
        _assert_refused(reply, 400, "DIGEST_INVALID", word)
        assert repository.offset(location) == 0, "the session can still be finished as it should be"
        repository.wire.call("DELETE", location)


def test_no_digest_at_the_end(repository: Repository, storage: Storage, data: bytes) -> None:
    location = repository.begin()
    with storage.unchanged():
        reply = repository.wire.call("PUT", location, body=data)

        _assert_refused(reply, 400, "DIGEST_INVALID", "?digest=<digest of the blob>")
    assert repository.finish(location, digest_of(data), data).status == 201


@pytest.mark.parametrize("algorithm", ["md5", "SHA256", "sha-256", "..%2F..", "sha256%00", "a" * 5000])
def test_an_announced_algorithm_that_we_lack(repository: Repository, storage: Storage, algorithm: str) -> None:
    with storage.unchanged():
        reply = repository.call("POST", f"blobs/uploads/?digest-algorithm={algorithm}")

    _assert_refused(reply, 400, "DIGEST_INVALID", "not supported")


_ENDS_EARLY: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("Content-Length: 150000", lambda data: data[:70_000]),
    ("Content-Length: 150000", lambda data: b""),
    ("Transfer-Encoding: chunked", lambda data: b"%x\r\n" % len(data) + data[:70_000]),
    ("Transfer-Encoding: chunked", lambda data: b"%x\r\n" % len(data) + data + b"\r\n"),
    ("Transfer-Encoding: chunked", lambda data: b"%x\r\n" % len(data) + data + b"\r\n0\r\n"),
    ("Transfer-Encoding: chunked", lambda data: b""),
    ("Transfer-Encoding: chunked", lambda data: b"%x\r\n" % len(data) + data + b"XX0\r\n\r\n"),
    ("Transfer-Encoding: chunked", lambda data: b"nonsense\r\n" + data + b"\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", lambda data: b"-5\r\n" + data[:5] + b"\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", lambda data: b"0x10\r\n" + data[:16] + b"\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", lambda data: b"ffffffffffffffffff\r\n" + data[:5]),
]


@pytest.mark.parametrize(("fields", "encode"), _ENDS_EARLY)
def test_a_truncated_or_broken_body(
    repository: Repository, storage: Storage, data: bytes, fields: str, encode: Callable[[bytes], bytes]
) -> None:
    """Of a session what arrived stays, since a client may go on; whoever knows no session leaves nothing."""
    digest = digest_of(data)
    for method, place in (("PATCH", ""), ("PUT", ""), ("POST", repository["blobs/uploads/"])):
        with storage.unchanged():
            location = place or repository.begin()
            target = location if method == "PATCH" else with_parameters(location, f"digest={digest}")
            with repository.wire.connect() as connection:
                reply = raw_exchange(connection, _head(method, target, fields) + encode(data))
            assert reply.status == 400
            assert reply.codes in (["BLOB_UPLOAD_INVALID"], ["UNSUPPORTED"])
            assert reply.header("Connection") == "close"
            if not place:
                assert repository.offset(location) <= len(data)
                assert repository.wire.call("DELETE", location).status == 204
        assert repository.call("HEAD", f"blobs/{digest}").status == 404


def test_a_body_longer_than_its_content_length(repository: Repository, storage: Storage, data: bytes) -> None:
    """What follows the body is the next request, and no request of ours: the blob is what its length says."""
    digest = digest_of(data)
    target = with_parameters(repository.begin(), f"digest={digest}")
    with repository.wire.connect() as connection:
        connection.sendall(_head("PUT", target, f"Content-Length: {len(data)}") + data + b"more than was said\r\n\r\n")
        assert read_reply(connection, "PUT").status == 201
        reply = read_reply(connection)
        assert connection.recv(1) == b"", "what comes behind garbage is not read"

    assert reply.status == 400
    assert repository.call("GET", f"blobs/{digest}").body == data


def test_a_short_body_with_garbage_right_behind_it(repository: Repository, storage: Storage, data: bytes) -> None:
    """Both arrive in one read. The connection is refused as a whole, and of the upload nothing is stored as a blob."""
    digest = digest_of(data[:1000])
    with storage.unchanged():
        location = repository.begin()
        target = with_parameters(location, f"digest={digest}")
        with repository.wire.connect() as connection:
            connection.sendall(_head("PUT", target, "Content-Length: 1000") + data)
            assert read_reply(connection, "PUT").status == 400
            assert connection.recv(1) == b""
        assert repository.call("HEAD", f"blobs/{digest}").status == 404
        assert repository.offset(location) in (0, 1000)
        # the connection is refused before the request that it cut off has let go of the session
        deadline = time.monotonic() + 10
        while (status := repository.wire.call("DELETE", location).status) == 409 and time.monotonic() < deadline:
            continue
        assert status == 204


@pytest.mark.parametrize("last", [100_998, 101_000])
@pytest.mark.parametrize("finishing", [False, True])
def test_a_body_that_is_not_as_long_as_its_range(
    repository: Repository, storage: Storage, data: bytes, last: int, finishing: bool
) -> None:
    """The body goes from 1,000 to 100,999."""
    location = repository.begin()
    repository.append(location, data[:1000])
    body = data[1000:101_000]
    with storage.unchanged():
        for form in (body, [body[:50_000], body[50_000:]]):
            content_range = f"1000-{last}"
            if finishing:
                reply = repository.finish(location, digest_of(data), form, content_range)
            else:
                reply = repository.append(location, form, content_range)
            _assert_refused(reply, 400, "SIZE_INVALID", "Content-Range")
    assert repository.offset(location) == 1000
    assert repository.finish(location, digest_of(data), data[1000:]).status == 201


@pytest.mark.parametrize("content_range", ["bytes 0-9/10", "0-", "9-0", "nonsense", "0-9,20-29", "-1-5"])
def test_a_content_range_that_is_none(
    repository: Repository, storage: Storage, data: bytes, content_range: str
) -> None:
    location = repository.begin()
    with storage.unchanged():
        _assert_refused(
            repository.append(location, data[:10], content_range),
            400,
            "BLOB_UPLOAD_INVALID",
            "<first byte>-<last byte>",
        )
    assert repository.wire.call("GET", location).header("Range") == "0-0"


def _to_session(repository: Repository, location: str, data: bytes) -> list[Reply]:
    """Everything that can be asked of a session."""
    return [
        repository.wire.call("GET", location),
        repository.append(location, data),
        repository.append(location, data, f"0-{len(data) - 1}"),
        repository.finish(location, digest_of(data), data),
        repository.finish(location, digest_of(data)),
        repository.wire.call("DELETE", location),
    ]


def test_an_unknown_session(repository: Repository, storage: Storage, data: bytes) -> None:
    with storage.unchanged():
        for reply in _to_session(repository, repository["blobs/uploads/11111111-2222-4333-8444-555555555555"], data):
            _assert_refused(reply, 404, "BLOB_UPLOAD_UNKNOWN", "begin a new one")


def test_a_finished_session(repository: Repository, storage: Storage, data: bytes) -> None:
    location = repository.begin()
    repository.finish(location, digest_of(data), data)
    with storage.unchanged():
        for reply in _to_session(repository, location, data):
            _assert_refused(reply, 404, "BLOB_UPLOAD_UNKNOWN")
    assert repository.call("GET", f"blobs/{digest_of(data)}").body == data


def test_a_session_of_another_repository(
    repository: Repository, other: Repository, storage: Storage, data: bytes
) -> None:
    location = repository.begin()
    repository.append(location, data[:1000])
    with storage.unchanged():
        for name in (other.name, repository.name + "/x", repository.name[:-1]):
            for reply in _to_session(repository, location.replace(repository.name, name), data):
                _assert_refused(reply, 404, "BLOB_UPLOAD_UNKNOWN")
    assert repository.finish(location, digest_of(data), data[1000:]).status == 201


@pytest.mark.parametrize(
    "change",
    [
        lambda session: session[:-1] + ("0" if session[-1] != "0" else "1"),
        lambda session: session + ".sha512",
        lambda session: session + ".sha256",
        lambda session: session + ".md5",
        lambda session: session.upper(),
        lambda session: session.replace("-", ""),
        lambda session: "{" + session + "}",
        lambda session: session + "%00",
        lambda session: session + "%0A",
        lambda session: "..%2F" + session,
        lambda session: "%2e%2e%2fuploads%2f" + session,
        lambda session: session + "%2F..%2F" + session,
        lambda session: "x" * 5000,
        lambda session: session + ".%FF",
    ],
)
def test_an_upload_url_that_was_tampered_with(
    repository: Repository, storage: Storage, data: bytes, change: Callable[[str], str]
) -> None:
    location = repository.begin()
    repository.append(location, data[:1000])
    base, _, session = location.rpartition("/")
    if change(session) == session:
        session = "a" + session[1:]
    with storage.unchanged():
        for reply in _to_session(repository, f"{base}/{change(session)}", data):
            _assert_refused(reply, 404, "BLOB_UPLOAD_UNKNOWN")
    assert repository.offset(location) == 1000
    repository.wire.call("DELETE", location)


@pytest.mark.parametrize("parameters", ["?_state=forged", "?digest=nonsense&x", "?%00", "?" + "x" * 5000])
def test_parameters_that_nobody_asked_for_change_nothing(repository: Repository, data: bytes, parameters: str) -> None:
    location = repository.begin()

    assert repository.append(location + parameters, data).status == 202
    assert repository.offset(location) == len(data)


def test_two_writers_on_one_session(repository: Repository, storage: Storage, data: bytes) -> None:
    location = repository.begin()
    target = with_parameters(location, f"digest={digest_of(data)}")
    with repository.wire.connect() as first:
        first.sendall(_head("PUT", target, f"Content-Length: {len(data)}\r\nExpect: 100-continue"))
        assert first.recv(100).startswith(b"HTTP/1.1 100 "), "the first writer has the session"

        with storage.unchanged():
            for reply in _to_session(repository, location, data)[1:]:
                _assert_refused(reply, 409, "BLOB_UPLOAD_INVALID", "another request is writing")
        first.sendall(data)
        assert read_reply(first, "PUT").status == 201

    assert repository.call("GET", f"blobs/{digest_of(data)}").body == data


def test_two_finishing_uploads_of_one_digest(
    repository: Repository, other: Repository, storage: Storage, data: bytes
) -> None:
    digest = digest_of(data)
    connections: list[socket.socket] = []
    for target in (repository, repository, other):
        place = with_parameters(target.begin(), f"digest={digest}")
        connections.append(target.wire.connect())
        connections[-1].sendall(_head("PUT", place, f"Content-Length: {len(data)}") + data[:-1])

    replies: list[int] = []
    barrier = threading.Barrier(len(connections))

    def finish(connection: socket.socket) -> None:
        barrier.wait(10)
        connection.sendall(data[-1:])
        replies.append(read_reply(connection, "PUT").status)
        connection.close()

    threads = [threading.Thread(target=finish, args=[connection]) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert replies == [201, 201, 201]
    for target in (repository, other):
        assert target.call("GET", f"blobs/{digest}").body == data
    assert storage.files("cargohold/v1/tmp/") == set()


def test_one_bad_of_two_uploads_of_one_digest_harms_only_itself(repository: Repository, data: bytes) -> None:
    digest = digest_of(data)
    good, bad = repository.begin(), repository.begin()
    repository.append(bad, data[:-1])
    repository.append(good, data)

    _assert_refused(repository.finish(bad, digest, b"X"), 400, "DIGEST_INVALID")
    assert repository.finish(good, digest).status == 201
    _assert_refused(repository.finish(repository.begin(), digest, b"X"), 400, "DIGEST_INVALID")

    assert repository.call("GET", f"blobs/{digest}").body == data


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: -5",
        "Content-Length: 5x",
        "Content-Length: 0x5",
        "Content-Length: +5",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked\r\nContent-Length: 5",
    ],
)
def test_a_length_that_can_be_read_in_two_ways(repository: Repository, storage: Storage, fields: str) -> None:
    """RFC 9112 section 6.3: two readers that disagree on where a request ends are how requests are smuggled."""
    smuggled = f"GET {repository['tags/list']} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with storage.unchanged():
        location = repository.begin()
        with repository.wire.connect() as connection:
            reply = raw_exchange(connection, _head("PATCH", location, fields) + b"0\r\n\r\n" + smuggled)
            assert reply.status in (400, 501)
            assert connection.recv(1) == b"", "the connection ends with the answer"
        assert repository.wire.call("GET", location).header("Range") == "0-0"
        repository.wire.call("DELETE", location)
