"""What one connection may take up, and what is no request at all."""

import json
from contextlib import ExitStack

import pytest
from starlette.types import Receive, Scope, Send

from registry.serving.limits import Limits
from tests.unit.serving.apps import answer
from tests.unit.serving.running import Client, running, until


async def ok(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, scope["path"].encode())


def refused(client: Client, status: int) -> str:
    """The message of a refusal, behind which the connection is closed."""
    response = client.response()
    assert (response.status, response.headers["connection"]) == (status, "close")
    assert response.headers["content-type"] == "application/json"
    assert client.at_end()
    message = json.loads(response.body)["errors"][0]["message"]
    assert isinstance(message, str)
    return message


@pytest.mark.parametrize("step", [1 << 20, 1000])
def test_head_beyond_the_limit_is_refused_with_431(step: int) -> None:
    data = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: %s\r\n" % (b"y" * 100) * 100 + b"\r\n"
    with running(ok, limits=Limits(max_header_bytes=10_000)) as server, server.client() as client:
        for at in range(0, len(data), step):
            client.send(data[at : at + step])

        assert "10000 bytes" in refused(client, 431)


def test_endless_head_is_refused_while_the_client_still_sends() -> None:
    with running(ok) as server, server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        for _ in range(1000):
            client.send(b"X: %s\r\n" % (b"y" * 10_000))

        assert "65536 bytes" in refused(client, 431)


@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_head_of_too_many_fields_is_refused_with_431(end: bytes) -> None:
    with running(ok) as server, server.client() as client:
        assert client.get("/x", fields="a:\r\n" * 150).body == b"/x"
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 201 + end)

        assert "200 fields" in refused(client, 431)


def test_heads_are_counted_one_by_one() -> None:
    with running(ok, limits=Limits(max_header_bytes=1000)) as server, server.client() as client:
        for _ in range(10):
            assert client.get("/x", fields=f"X: {'y' * 800}\r\n").body == b"/x"


def test_url_beyond_the_limit_is_refused_with_414() -> None:
    with running(ok) as server, server.client() as client:
        client.send(b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")

        assert "URL" in refused(client, 414)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a\xffb HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a\x7fb HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/3.7\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"CONNECT http://a/x HTTP/1.1\r\nHost: a\r\n\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_with_400(request_: bytes) -> None:
    with running(ok) as server, server.client() as client:
        client.send(request_)

        assert refused(client, 400)


def test_head_that_takes_too_long_is_refused_with_408() -> None:
    with running(ok, limits=Limits(header_timeout=0.2)) as server, server.client() as client:
        client.send(b"GET / HTTP/1.1\r\n")

        assert "0.2 seconds" in refused(client, 408)


def test_second_head_that_takes_too_long_is_refused_as_well() -> None:
    with running(ok, limits=Limits(header_timeout=0.2)) as server, server.client() as client:
        assert client.get("/x").status == 200
        client.send(b"GET / HTTP/1.1\r\n")

        assert "0.2 seconds" in refused(client, 408)


def test_connection_that_says_nothing_is_closed() -> None:
    with running(ok, limits=Limits(header_timeout=0.1)) as server, server.client() as client:
        assert client.at_end()


def test_idle_connection_is_closed_after_a_while() -> None:
    with running(ok, keep_alive=0.1) as server, server.client() as client:
        assert client.get("/x").status == 200
        assert client.at_end()


def test_connections_beyond_the_limit_are_told_to_come_back() -> None:
    with running(ok, limits=Limits(max_connections=2)) as server:
        first, second = server.client(), server.client()
        assert first.get("/x").status == 200
        assert second.get("/x").status == 200
        with server.client() as third:
            response = third.get("/x")
            assert (response.status, response.headers["retry-after"]) == (503, "5")
            assert json.loads(response.body)["errors"][0]["code"] == "TOOMANYREQUESTS"
            assert third.at_end()
        assert first.get("/x").status == 200
        first.socket.close()
        second.socket.close()


def test_connections_far_beyond_the_limit_are_closed_before_they_ask() -> None:
    with running(ok, limits=Limits(max_connections=2)) as server, ExitStack() as stack:
        silent = [stack.enter_context(server.client()) for _ in range(4)]
        with server.client() as fifth:
            assert fifth.at_end()
        assert len(server.state.connections) == 4
        silent.pop().socket.close()
        until(lambda: len(server.state.connections) == 3)
        with server.client() as another:
            assert another.get("/x").status == 503
