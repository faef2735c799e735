"""Blobs in chunks: end-5 (PATCH), end-13 (status), end-14 (cancel), and going on after whatever broke off."""

import socket
import struct
import time
from collections.abc import Callable

import pytest

from tests.images import random_bytes
from tests.live_server import LiveServer
from tests.wire.repository import Repository, digest_of, with_parameters
from tests.wire.wire import Wire, raw_exchange, read_reply

_CHUNK = 100_000


@pytest.fixture
def data(seed: int) -> bytes:
    return random_bytes(5 * _CHUNK, seed)


def _chunks(data: bytes, size: int = _CHUNK) -> list[tuple[str, bytes]]:
    starts = range(0, len(data), size)
    return [(f"{at}-{min(at + size, len(data)) - 1}", data[at : at + size]) for at in starts]


def test_chunks_in_order(repository: Repository, data: bytes) -> None:
    location = repository.begin()
    for content_range, chunk in _chunks(data):
        reply = repository.append(location, chunk, content_range)
        assert reply.status == 202
        assert reply.header("Range") == f"0-{content_range.partition('-')[2]}"
        location = reply.header("Location")
        status = repository.wire.call("GET", location)
        assert (status.status, status.body) == (204, b"")
        assert status.header("Range") == reply.header("Range")
        assert status.header("Location") == location

    reply = repository.finish(location, digest_of(data))

    assert reply.status == 201
    assert repository.wire.call("GET", reply.header("Location")).body == data


def test_the_last_chunk_may_come_with_the_closing_request(repository: Repository, data: bytes) -> None:
    location = repository.begin()
    *chunks, (last_range, last) = _chunks(data)
    for content_range, chunk in chunks:
        location = repository.append(location, chunk, content_range).header("Location")

    assert repository.finish(location, digest_of(data), last, last_range).status == 201
    assert repository.call("GET", f"blobs/{digest_of(data)}").body == data


def test_small_chunks_of_many_sizes_make_a_whole(repository: Repository, data: bytes) -> None:
    location = repository.begin()
    at = 0
    for size in [1, 1, 2, 3, 7, 100, 8191, 8192, 8193, 65535, 65537, 1]:
        location = repository.append(location, data[at : at + size], f"{at}-{at + size - 1}").header("Location")
        at += size

    assert repository.finish(location, digest_of(data), data[at:]).status == 201
    assert repository.call("GET", f"blobs/{digest_of(data)}").body == data


def test_a_stream_without_range_as_docker_sends_it(repository: Repository, data: bytes) -> None:
    location = repository.begin()

    reply = repository.append(location, [data[at : at + 32_768] for at in range(0, len(data), 32_768)])

    assert (reply.status, reply.header("Range")) == (202, f"0-{len(data) - 1}")
    assert repository.finish(reply.header("Location"), digest_of(data)).status == 201
    assert repository.call("GET", f"blobs/{digest_of(data)}").body == data


def test_streams_and_chunks_may_take_turns(repository: Repository, data: bytes) -> None:
    location = repository.begin()
    repository.append(location, [data[:1000]])
    repository.append(location, data[1000:2000], "1000-1999")
    repository.append(location, data[2000:3000])

    assert repository.offset(location) == 3000
    assert repository.finish(location, digest_of(data), [data[3000:]]).status == 201


@pytest.mark.parametrize("first", [0, _CHUNK - 1, _CHUNK + 1, 10**15])
def test_a_chunk_out_of_order_is_refused_with_where_the_session_is(
    repository: Repository, data: bytes, first: int
) -> None:
    location = repository.begin()
    repository.append(location, data[:_CHUNK], f"0-{_CHUNK - 1}")

    for send in (repository.append, lambda *a: repository.finish(a[0], digest_of(data), *a[1:])):
        reply = send(location, data[_CHUNK : 2 * _CHUNK], f"{first}-{first + _CHUNK - 1}")
        assert (reply.status, reply.codes) == (416, ["BLOB_UPLOAD_INVALID"])
        assert reply.header("Range") == f"0-{_CHUNK - 1}"
        assert str(_CHUNK) in reply.message

    assert repository.offset(location) == _CHUNK
    assert repository.finish(location, digest_of(data), data[_CHUNK:]).status == 201


def test_the_first_chunk_begins_at_zero(repository: Repository, data: bytes) -> None:
    location = repository.begin()

    assert repository.append(location, data[5:10], "5-9").status == 416
    assert repository.wire.call("GET", location).header("Range") == "0-0"


def test_a_cancelled_session_is_gone(repository: Repository, data: bytes) -> None:
    location = repository.begin()
    repository.append(location, data)

    assert repository.wire.call("DELETE", location).status == 204

    for reply in (
        repository.wire.call("GET", location),
        repository.wire.call("DELETE", location),
        repository.append(location, b"more"),
        repository.finish(location, digest_of(data)),
    ):
        assert (reply.status, reply.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    assert repository.call("HEAD", f"blobs/{digest_of(data)}").status == 404


def _cut(connection: socket.socket, head: bytes, part: bytes) -> None:
    """The client says that it is done before its body is."""
    reply = raw_exchange(connection, head + part)
    assert reply.status == 400
    assert reply.codes == ["BLOB_UPLOAD_INVALID"]
    assert reply.header("Connection") == "close"


def _head(method: str, target: str, fields: str) -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n".encode()


@pytest.mark.parametrize("sent", [0, 1, 70_000, 499_999])
@pytest.mark.parametrize("form", ["length", "chunked", "range"])
def test_what_arrived_before_a_connection_broke_stays_and_the_client_goes_on_from_there(
    repository: Repository, data: bytes, sent: int, form: str
) -> None:
    location = repository.begin()
    fields = {
        "length": f"Content-Length: {len(data)}",
        "range": f"Content-Length: {len(data)}\r\nContent-Range: 0-{len(data) - 1}",
        "chunked": "Transfer-Encoding: chunked",
    }[form]
    part = data[:sent] if form != "chunked" else b"%x\r\n" % len(data) + data[:sent]
    with repository.wire.connect() as connection:
        _cut(connection, _head("PATCH", location, fields), part)

    offset = repository.offset(location)
    assert offset == sent or (sent, offset) == (1, 0), "0-0 stands for one byte and for none"
    if sent == 1:
        reply = repository.append(location, data[1:1000], "1-999")
        assert reply.status == 202
        offset = 1000
    assert repository.finish(location, digest_of(data), data[offset:], f"{offset}-{len(data) - 1}").status == 201
    assert repository.call("GET", f"blobs/{digest_of(data)}").body == data


def test_an_upload_goes_on_after_its_connection_was_reset(repository: Repository, data: bytes) -> None:
    location = repository.begin()
    connection = repository.wire.connect()
    connection.sendall(_head("PATCH", location, f"Content-Length: {len(data)}") + data[:200_000])
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()

    # until the server has seen the reset the session has its writer, and says so: the client asks again
    deadline = time.monotonic() + 20
    while True:
        offset = repository.offset(location)
        assert offset <= 200_000
        reply = repository.append(location, data[offset:], f"{offset}-{len(data) - 1}")
        if reply.status == 202:
            break
        assert reply.status in (409, 416), reply.body
        assert time.monotonic() < deadline

    assert repository.finish(location, digest_of(data)).status == 201
    assert repository.call("GET", f"blobs/{digest_of(data)}").body == data


@pytest.mark.parametrize(
    "end", [LiveServer.restart, lambda server: (server.kill(), server.start())], ids=["restarted", "killed"]
)
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_an_upload_goes_on_after_a_restart(
    own_server: LiveServer, seed: int, end: Callable[[LiveServer], None], algorithm: str
) -> None:
    data = random_bytes(300_000, seed)
    repository = Repository(Wire(own_server.url), "a/b")
    chunked, streamed = repository.begin(f"?digest-algorithm={algorithm}"), repository.begin()
    repository.append(chunked, data[:100_000], "0-99999")
    with repository.wire.connect() as connection:
        _cut(connection, _head("PATCH", streamed, f"Content-Length: {len(data)}"), data[:50_000])

    end(own_server)

    for location, offset in ((chunked, 100_000), (streamed, 50_000)):
        assert repository.offset(location) == offset
        repository.append(location, data[offset:200_000], f"{offset}-199999")
        assert repository.finish(location, digest_of(data, algorithm), data[200_000:]).status == 201
    assert repository.call("GET", f"blobs/{digest_of(data, algorithm)}").body == data


def test_a_session_that_waits_for_its_client_does_not_hinder_others(repository: Repository, data: bytes) -> None:
    """zot #2999: a push waits for up to 30 minutes behind somebody else's lock."""
    slow = repository.begin()
    with repository.wire.connect() as connection:
        target = with_parameters(slow, f"digest={digest_of(data)}")
        connection.sendall(_head("PUT", target, f"Content-Length: {len(data)}") + data[:1000])

        assert repository.push_blob(data) == digest_of(data)
        assert repository.call("GET", f"blobs/{digest_of(data)}").body == data

        connection.sendall(data[1000:])
        reply = read_reply(connection)
    assert reply.status == 201
