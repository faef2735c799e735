"""Offers to speak another protocol: ignored, so that a request with one is served as it would be without it.

Java's HTTP client and `curl --http2` make one with every request.
"""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from tests.unit.serving.apps import Uploads, answer, read_all
from tests.unit.serving.running import Client, Running, running
from tests.unit.serving.test_uploads import BODY, PATH, chunked, digest

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
MANIFEST = "/v2/a/manifests/latest"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


def head(*fields: str, method: str = "PUT", path: str = PATH, version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: a", *H2C, *fields, "", ""]).encode()


@pytest.fixture
def app() -> Uploads:
    return Uploads()


@pytest.fixture
def client(app: Uploads) -> Iterator[Client]:
    with running(app) as server, server.client() as client:
        yield client


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "h2c, websocket", ""])
@pytest.mark.parametrize("fields", [(), ("Content-Length: 0",)])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST", "PUT", "PATCH"])
def test_request_without_a_body_is_served_and_the_connection_stays(
    app: Uploads, client: Client, method: str, fields: tuple[str, ...], upgrade: str
) -> None:
    request = head(*fields, method=method).replace(b"Upgrade: h2c", f"Upgrade: {upgrade}".encode())
    for _ in range(3):
        client.send(request)
        response = client.response(head_only=method == "HEAD")

        assert (response.status, response.headers.get("connection")) == (200, None)
    assert app.seen == [f"{method} {PATH}"] * 3
    assert app.bodies == [b""] * 3


@pytest.mark.parametrize("path", [PATH, MANIFEST])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("size", [1, 70_000, 3_000_000])
def test_request_with_a_body_is_served_and_the_connection_stays(
    app: Uploads, client: Client, size: int, method: str, path: str
) -> None:
    body = BODY[:size]
    for framed in (
        head(f"Content-Length: {size}", method=method, path=path) + body,
        head("Transfer-Encoding: chunked", method=method, path=path) + chunked(body, 50_000),
    ):
        client.send(framed)
        response = client.response()

        assert (response.status, response.body) == (200, digest(body))
        assert "connection" not in response.headers
    assert client.get("/next").status == 200


@pytest.mark.parametrize("path", [PATH, MANIFEST])
@pytest.mark.parametrize(
    ("framing", "body"), [("Content-Length: 3", b"abc"), ("Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n")]
)
def test_continue_is_sent_once_and_before_the_body(client: Client, framing: str, body: bytes, path: str) -> None:
    for _ in range(2):
        client.send(head(framing, "Expect: 100-continue", path=path))
        assert client.response().status == 100
        client.send(body)

        assert client.response().body == digest(b"abc")


def test_upload_is_left_in_the_socket_as_any_other(client: Client) -> None:
    client.send(head(f"Content-Length: {len(BODY)}") + BODY)

    assert client.response().headers["way"] == "socket"


def test_application_may_ask_for_messages_instead() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, digest(await read_all(receive)))

    with running(app) as server, server.client() as client:
        for framed in (head("Content-Length: 4") + b"abcd", head("Transfer-Encoding: chunked") + chunked(b"abcd", 3)):
            client.send(framed + NEXT + framed)
            assert client.response().body == digest(b"abcd")
            assert client.response().body == digest(b"")
            assert client.response().body == digest(b"abcd")


def test_connection_closes_when_the_client_wants_it(client: Client) -> None:
    client.send(head("Connection: close", "Content-Length: 3", path=MANIFEST) + b"abc" + NEXT)

    response = client.response()
    assert (response.body, response.headers["connection"]) == (digest(b"abc"), "close")
    assert client.at_end()


def test_http_1_0_is_served_too(client: Client) -> None:
    client.send(head("Content-Length: 3", path=MANIFEST, version="1.0") + b"abc")

    assert client.response().body == digest(b"abc")
    assert client.at_end()


@pytest.mark.parametrize(
    "fields",
    [
        ["Content-Length: 3", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 3"],
        ["Content-Length: 3", "Content-Length: 4"],
        ["Content-Length: +3"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: \tchunked\t"],
    ],
)
def test_doubtful_length_is_refused_and_nothing_behind_it_is_a_request(
    app: Uploads, client: Client, fields: list[str]
) -> None:
    client.send(head(*fields) + b"3\r\nabc\r\n0\r\n\r\n" + NEXT)
    response = client.response()

    assert (response.status in (400, 501), response.headers["connection"]) == (True, "close")
    assert client.at_end()
    assert "GET /next" not in app.seen


@pytest.mark.parametrize("path", [PATH, MANIFEST])
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (f"Content-Length: {len(NEXT)}", NEXT),
        ("Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\nUpgrade: h2c\r\n\r\n" % (len(NEXT), NEXT)),
    ],
)
def test_body_that_looks_like_a_request_is_none(
    app: Uploads, client: Client, framing: str, body: bytes, path: str
) -> None:
    client.send(head(framing, path=path) + body + head(method="GET", path="/after"))

    assert client.response().body == digest(NEXT)
    assert client.response().body == digest(b"")
    assert app.seen == [f"PUT {path}", "GET /after"]


def test_a_thousand_pipelined_requests_are_answered_one_after_the_other(app: Uploads, client: Client) -> None:
    client.send((head("Content-Length: 3", path=MANIFEST) + b"abc" + head(method="GET", path="/x")) * 1000)

    for _ in range(1000):
        assert client.response().body == digest(b"abc")
        assert client.response().body == digest(b"")
    assert app.seen == [f"PUT {MANIFEST}", "GET /x"] * 1000


@pytest.fixture(scope="module")
def server_and_app() -> Iterator[tuple[Running, Uploads]]:
    app = Uploads()
    with running(app) as server:
        yield server, app


_REQUESTS = [
    (f"{method} {path}", body, framed)
    for path in (PATH, MANIFEST)
    for method, body, framed in [
        ("GET", b"", head(method="GET", path=path)),
        ("GET", b"", head("Content-Length: 0", method="GET", path=path)),
        ("POST", b"", head("Content-Length: 0", method="POST", path=path)),
        ("PUT", b"abc\r\n\r\n", head("Content-Length: 7", path=path) + b"abc\r\n\r\n"),
        ("PATCH", b"abcdef", head("Transfer-Encoding: chunked", method="PATCH", path=path) + chunked(b"abcdef", 4)),
        ("PUT", b"xyz", head("Content-Length: 3", path=path).replace(b"Upgrade: h2c\r\n", b"") + b"xyz"),
    ]
]


@settings(deadline=None, max_examples=150)
@given(requests=st.lists(st.sampled_from(_REQUESTS), min_size=1, max_size=5), data=st.data())
def test_any_requests_in_any_pieces_arrive_as_they_are(
    server_and_app: tuple[Running, Uploads], requests: list[tuple[str, bytes, bytes]], data: st.DataObject
) -> None:
    server, app = server_and_app
    app.seen.clear()
    app.bodies.clear()
    sent = b"".join(framed for _, _, framed in requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=4)))
    with server.client() as client:
        for start, stop in pairwise([0, *cuts, len(sent)]):
            client.send(sent[start:stop])
        for _, body, _ in requests:
            assert client.response().body == digest(body)

    assert app.seen == [seen for seen, _, _ in requests]
    assert app.bodies == [body for _, body, _ in requests]
