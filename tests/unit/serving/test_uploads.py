"""Uploads: the body is left in the socket, and nothing of it is lost, added or taken for a request."""

import hashlib
import random

import pytest
from starlette.types import Receive, Scope, Send

from registry.serving.limits import Limits
from tests.unit.serving.apps import Uploads, answer, read_all
from tests.unit.serving.running import running

PATH = "/v2/a/b/blobs/uploads/1"
BODY = random.Random(1).randbytes(3_000_000)


def head(*fields: str, method: str = "PUT", path: str = PATH) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *fields, "", ""]).encode()


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
def test_upload_with_a_length_is_poured_from_the_socket_and_the_connection_stays(method: str) -> None:
    with running(Uploads()) as server, server.client() as client:
        for body in (BODY, BODY[:1_000_000], BODY):
            client.send(head(f"Content-Length: {len(body)}", method=method))
            client.send(body)
            response = client.response()

            assert (response.status, response.body) == (200, digest(body))
            assert response.headers["way"] == "socket"
            assert "connection" not in response.headers


@pytest.mark.parametrize("size", [1000, 32 * 1024, 3_000_000])
def test_chunked_upload_is_poured_from_the_socket_and_the_connection_stays(size: int) -> None:
    with running(Uploads()) as server, server.client() as client:
        for _ in range(2):
            client.send(head("Transfer-Encoding: chunked") + chunked(BODY, size))
            response = client.response()

            assert (response.body, response.headers["way"]) == (digest(BODY), "socket")


def test_chunks_reach_the_application_together() -> None:
    app = Uploads()
    with running(app) as server, server.client() as client:
        client.send(head("Transfer-Encoding: chunked") + chunked(BODY, 1000))
        client.response()

    assert app.largest_block > 10_000


def test_request_may_be_split_anywhere() -> None:
    app = Uploads()
    request = head("Content-Length: 6") + b"abcdef" + head("Transfer-Encoding: chunked") + b"3\r\nghi\r\n0\r\n\r\n"
    with running(app) as server, server.client() as client:
        for at in range(1, len(request)):
            client.send(request[:at])
            if at > request.index(b"abcdef") + 6:
                assert client.response().body == digest(b"abcdef")
            client.send(request[at:])
            if at <= request.index(b"abcdef") + 6:
                assert client.response().body == digest(b"abcdef")
            assert client.response().body == digest(b"ghi")

    assert app.bodies == [b"abcdef", b"ghi"] * (len(request) - 1)


def test_request_behind_an_upload_in_the_same_packet_is_answered() -> None:
    app = Uploads()
    for fields, body in [
        ("Content-Length: 3", b"abc"),
        ("Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\nX: y\r\n\r\n"),
    ]:
        with running(app) as server, server.client() as client:
            client.send(head(fields))
            client.send(body + head(method="GET", path="/next"))

            assert client.response().body == digest(b"abc")
            assert client.response().status == 200

    assert app.seen == [f"PUT {PATH}", "GET /next"] * 2


def test_upload_pipelined_behind_another_request_arrives_whole() -> None:
    app = Uploads()
    with running(app) as server, server.client() as client:
        client.send(head(method="GET", path="/first") + head(f"Content-Length: {len(BODY)}") + BODY)

        assert client.response().status == 200
        assert client.response().body == digest(BODY)


def test_continue_is_sent_when_the_body_is_wanted() -> None:
    with running(Uploads()) as server, server.client() as client:
        client.send(head("Content-Length: 3", "Expect: 100-continue"))
        assert client.response().status == 100
        client.send(b"abc")

        assert client.response().body == digest(b"abc")


def test_continue_is_not_sent_when_the_answer_is_known_without_the_body() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"no", 401)

    with running(refuse) as server, server.client() as client:
        client.send(head("Content-Length: 3", "Expect: 100-continue"))
        response = client.response()

        assert (response.status, response.headers["connection"]) == (401, "close")
        assert client.at_end()


@pytest.mark.parametrize("path", [PATH, "/v2/a/manifests/latest"])
def test_continue_is_not_sent_to_a_client_of_http_1_0(path: str) -> None:
    with running(Uploads()) as server, server.client() as client:
        client.send(head("Content-Length: 3", "Expect: 100-continue", path=path).replace(b"HTTP/1.1", b"HTTP/1.0"))
        client.send(b"abc")
        response = client.response()

        assert (response.status, response.body) == (200, digest(b"abc"))


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_bytes_before_a_disconnect_are_kept(framing: str) -> None:
    app = Uploads()
    with running(app) as server:
        with server.client() as client:
            if framing == "length":
                client.send(head("Content-Length: 5000000") + BODY)
            else:
                client.send(head("Transfer-Encoding: chunked") + chunked(BODY, 4096)[:-5])
            client.socket.shutdown(1)
            response = client.response()

        assert response.status == 400
        assert response.headers["connection"] == "close"
    assert app.bodies == [BODY]
    assert "closed the connection" in str(app.errors[0])


def test_silent_client_is_given_up() -> None:
    app = Uploads()
    with running(app, limits=Limits(body_timeout=0.2)) as server, server.client() as client:
        client.send(head("Content-Length: 10") + b"abc")
        response = client.response()

        assert response.status == 400
        assert b"0.2 seconds" in response.body
    assert app.bodies == [b"abc"]


def test_stalled_uploads_hold_no_thread() -> None:
    with running(Uploads(), threads=1) as server:
        stalled = [server.client() for _ in range(5)]
        for client in stalled:
            client.send(head("Content-Length: 10") + b"abc")
        with server.client() as client:
            client.send(head(f"Content-Length: {len(BODY)}") + BODY)
            assert client.response().body == digest(BODY)
        for client in stalled:
            client.send(b"defghij")
            assert client.response().body == digest(b"abcdefghij")
            client.socket.close()


def test_application_may_ask_for_messages_instead() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert "cargohold.body" in scope["extensions"]
        await answer(send, digest(await read_all(receive)))

    for framed in (
        head(f"Content-Length: {len(BODY)}") + BODY,
        head("Transfer-Encoding: chunked") + chunked(BODY, 999),
    ):
        with running(app) as server, server.client() as client:
            for _ in range(2):
                client.send(framed)
                assert client.response().body == digest(BODY)


def test_error_of_the_writer_ends_the_upload_and_its_answer_is_read_by_a_client_that_still_sends() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        def full(block: memoryview) -> None:
            raise OSError(28, "no space")

        try:
            await scope["extensions"]["cargohold.body"].pump(full)
        except OSError as error:
            await answer(send, str(error).encode(), 507)

    with running(app) as server, server.client() as client:
        client.send(head("Content-Length: 60000000"))
        for _ in range(20):
            client.send(BODY)
        response = client.response()

        assert (response.status, response.headers["connection"]) == (507, "close")
        assert b"no space" in response.body
        assert client.at_end()


@pytest.mark.parametrize("path", [PATH, "/v2/a/manifests/latest"])
def test_answer_without_reading_the_body_is_read_by_a_client_that_still_sends(path: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"too large", 413)

    with running(app) as server, server.client() as client:
        client.send(head("Content-Length: 60000000", path=path))
        for _ in range(20):
            client.send(BODY)

        assert client.response().status == 413
        assert client.at_end()


@pytest.mark.parametrize(
    "body",
    [
        b"g\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3;\x00\r\nabc\r\n0\r\n\r\n",
        b"\r\n3\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nx: y\n\r\n",
        b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\n" + b"x: y\r\n" * 10_000 + b"\r\n",
        b"3;" + b"x" * 10_000 + b"\r\nabc\r\n0\r\n\r\n",
    ],
)
def test_malformed_chunks_are_refused_and_nothing_behind_them_is_a_request(body: bytes) -> None:
    app = Uploads()
    with running(app) as server, server.client() as client:
        client.send(head("Transfer-Encoding: chunked"))
        client.send(body + head(method="GET", path="/smuggled"))
        response = client.response()

        assert (response.status, response.headers["connection"]) == (400, "close")
        assert client.at_end()
    assert app.seen == [f"PUT {PATH}"]


@pytest.mark.parametrize(
    "fields",
    [
        ["Content-Length: 3", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 3"],
        ["Content-Length: 3", "Content-Length: 4"],
        ["Content-Length: 3", "Content-Length: 3"],
        ["Content-Length: 3, 3"],
        ["Content-Length: +3"],
        ["Content-Length: 0x3"],
        ["Content-Length : 3"],
        ["Content-Length: 99999999999999999999"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        ["Transfer-Encoding : chunked"],
        ["X: y\n\nGET /smuggled HTTP/1.1"],
    ],
)
def test_doubtful_length_is_refused_and_nothing_behind_it_is_a_request(fields: list[str]) -> None:
    app = Uploads()
    with running(app) as server, server.client() as client:
        client.send(head(*fields) + b"3\r\nabc\r\n0\r\n\r\n" + head(method="GET", path="/smuggled"))
        response = client.response()

        assert (response.status, response.headers["connection"]) == (400, "close")
        assert b'"errors"' in response.body
        assert client.at_end()
    assert "GET /smuggled" not in app.seen


@pytest.mark.parametrize(
    "fields",
    [
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: GZip;q=1 ,, Chunked"],
        ["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"],
    ],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_unknown_transfer_coding_is_refused_before_anything_happens(method: str, fields: list[str]) -> None:
    app = Uploads()
    with running(app) as server, server.client() as client:
        client.send(head(*fields, method=method) + b"0\r\n\r\n" + head(method="GET", path="/smuggled"))
        response = client.response()

        assert (response.status, response.headers["connection"]) == (501, "close")
        assert b"only chunked" in response.body
        assert client.at_end()
    assert app.seen == []


@pytest.mark.parametrize("coding", ["xchunked", "gzip", "chunked, identity", "chunked;x=y"])
def test_body_without_an_end_is_refused_before_anything_happens(coding: str) -> None:
    app = Uploads()
    with running(app) as server, server.client() as client:
        client.send(head(f"Transfer-Encoding: {coding}", method="DELETE"))

        assert client.response().status == 400
        assert client.at_end()
    assert app.seen == []


def test_trailers_say_nothing_about_the_next_request() -> None:
    app = Uploads()
    trailers = b"Host: b\r\nExpect: 100-continue\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    with running(app) as server, server.client() as client:
        for path in (PATH, "/v2/a/manifests/latest"):
            client.send(head("Transfer-Encoding: chunked", path=path) + b"3\r\nabc\r\n0\r\n" + trailers)
            assert client.response().body == digest(b"abc")
            client.send(head("Content-Length: 3", path=path) + b"abc")
            assert client.response().body == digest(b"abc")


def test_many_uploads_at_once_on_few_threads_all_arrive() -> None:
    app = Uploads()
    with running(app, threads=2) as server:
        clients = [server.client() for _ in range(12)]
        for client in clients:
            client.send(head("Transfer-Encoding: chunked"))
        framed = chunked(BODY[:900_000], 32 * 1024)
        for at in range(0, len(framed), 100_000):
            for client in clients:
                client.send(framed[at : at + 100_000])
        for client in clients:
            assert client.response().body == digest(BODY[:900_000])
            client.socket.close()
