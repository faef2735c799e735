"""What a client sends behind a chunked body is no part of the request's head: no proxy has looked at it."""

from starlette.types import Receive, Scope, Send

from tests.unit.serving.apps import answer, read_all
from tests.unit.serving.running import running

_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\nTransfer-Encoding: chunked\r\n\r\n"
_BODY = b"1\r\nx\r\n0\r\n"
_TRAILERS = b"X-Forwarded-For: 127.0.0.1\r\nAuthorization: Basic eDp5\r\nHost: b\r\n\r\n"


async def fields(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the names of the fields and the address that is forwarded, as they are behind the body."""
    body = await read_all(receive)
    names = b",".join(name for name, _ in scope["headers"])
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    await answer(send, b"|".join((body, names, forwarded)))


def test_fields_behind_a_body_do_not_become_fields_of_the_request() -> None:
    expected = b"x|host,x-forwarded-for,transfer-encoding|192.0.2.7"
    with running(fields) as server, server.client() as client:
        client.send(_HEAD + _BODY + _TRAILERS)
        at_once = client.response()
        client.send(_HEAD)
        client.send(_BODY + _TRAILERS[:20])
        client.send(_TRAILERS[20:])
        in_pieces = client.response()

        assert (at_once.body, in_pieces.body) == (expected, expected)


def test_more_of_them_than_a_head_may_have_are_refused() -> None:
    with running(fields) as server, server.client() as client:
        client.send(_HEAD + _BODY + b"a: b\r\n" * 201 + b"\r\n")

        assert client.response().status == 431
