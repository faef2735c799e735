"""Responses of an application onto the wire."""

import asyncio
import json
import threading
import time

import pytest
from starlette.types import Message, Receive, Scope, Send

from registry.serving.cycle import ClientGone
from registry.serving.limits import Limits
from tests.unit.serving.apps import answer, read_all
from tests.unit.serving.running import PATIENCE_SECONDS, running


class Says:
    """Sends the messages it was made with."""

    def __init__(self, *messages: Message) -> None:
        self.messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for message in self.messages:
            await send(dict(message))


def start(*fields: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(fields)}


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def test_response_is_exactly_what_was_said_and_a_date() -> None:
    with running(Says(start((b"content-length", b"2")), body(b"ok"))) as server, server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

        assert client.rest() == (
            b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
            b"content-length: 2\r\nconnection: close\r\n\r\nok"
        )


def test_head_and_body_leave_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []

    class Spy(asyncio.Transport):
        def __init__(self, inner: asyncio.Transport) -> None:
            super().__init__()
            self.inner = inner

        def write(self, data: bytes | bytearray | memoryview) -> None:
            writes.append(bytes(data))
            self.inner.write(data)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        cycle = send.__self__  # type: ignore[attr-defined]
        cycle.transport = Spy(cycle.transport)
        await answer(send, b"ok")

    with running(app) as server, server.client() as client:
        assert client.get().body == b"ok"

    assert len(writes) == 1


def test_body_of_unknown_length_is_chunked() -> None:
    app = Says(start(), body(b"abc", more=True), body(b"", more=True), body(b"defg", more=True), body(b""))
    with running(app) as server, server.client() as client:
        for _ in range(2):
            response = client.get()
            assert (response.body, response.headers["transfer-encoding"]) == (b"abcdefg", "chunked")


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_a_body_has_none(status: int) -> None:
    with running(Says(start(status=status), body(b""))) as server, server.client() as client:
        for _ in range(2):
            response = client.get()
            assert response.status == status
            assert "transfer-encoding" not in response.headers


def test_response_to_a_head_has_no_body() -> None:
    app = Says(start((b"content-length", b"2")), body(b"ok"))
    with running(app) as server, server.client() as client:
        assert client.get(method="HEAD").headers["content-length"] == "2"
        assert client.get().body == b"ok"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_connection_closes_when_the_client_wants_it(version: str) -> None:
    fields = "Connection: close\r\n" if version == "1.1" else ""
    with running(Says(start((b"content-length", b"2")), body(b"ok"))) as server, server.client() as client:
        client.send(f"GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n".encode())

        assert client.response().headers["connection"] == "close"
        assert client.at_end()


@pytest.mark.parametrize("field", [(b"x", b"a\r\nset-cookie: b"), (b"x\r\ny", b"a"), (b"x", b"a\nb"), (b"x", b"a\0b")])
def test_line_breaks_in_a_field_never_reach_the_client(
    field: tuple[bytes, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with running(Says(start(field), body(b"ok"))) as server, server.client() as client:
        response = client.get()

        assert response.status == 500
        assert json.loads(response.body)["errors"][0]["code"] == "UNKNOWN"
        assert client.at_end()
    assert "control character" in caplog.text


@pytest.mark.parametrize(("length", "data"), [(b"5", b"abc"), (b"2", b"abc")])
def test_body_of_the_wrong_length_never_looks_right(
    length: bytes, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with running(Says(start((b"content-length", length)), body(data))) as server, server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        _, _, sent = client.rest().partition(b"\r\n\r\n")

        assert len(sent) != int(length)
    assert "Content-Length" in caplog.text


async def _raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError("secret")


async def _says_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    return


@pytest.mark.parametrize("app", [_raises, _says_nothing])
def test_application_that_fails_answers_500_and_tells_only_the_log(
    app: object, caplog: pytest.LogCaptureFixture
) -> None:
    with running(app) as server, server.client() as client:  # type: ignore[arg-type]
        response = client.get()

        assert (response.status, response.headers["connection"]) == (500, "close")
        assert b"secret" not in response.body
        assert client.at_end()
    assert "not answered properly" in caplog.text


def test_application_that_fails_in_the_middle_cuts_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    with running(Says(start(), body(b"abc", more=True))) as server, server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

        assert not client.rest().endswith(b"0\r\n\r\n")
    assert "without completing" in caplog.text


def test_cancelled_request_is_answered_503() -> None:
    begun = threading.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await asyncio.get_running_loop().create_future()

    with running(waits) as server, server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert begun.wait(PATIENCE_SECONDS)
        (task,) = server.state.tasks
        server.loop.call_soon_threadsafe(task.cancel)
        response = client.response()

        assert (response.status, response.headers["retry-after"]) == (503, "5")


def test_sending_to_a_client_that_went_away_raises() -> None:
    raised: list[BaseException] = []

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            while True:
                await send(body(b"x" * 100_000, more=True))
        except ClientGone as error:
            raised.append(error)
            raise

    with running(endless) as server, server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.socket.recv(1) == b"H"
    assert len(raised) == 1


def test_client_that_does_not_take_a_response_is_cut_off() -> None:
    raised = threading.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            while True:
                await send(body(b"x" * 100_000, more=True))
        except ClientGone:
            raised.set()
            raise

    with running(endless, limits=Limits(send_timeout=0.1)) as server, server.client(receive_buffer=4096) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert raised.wait(PATIENCE_SECONDS)


def test_client_that_does_not_take_the_last_bytes_is_cut_off_as_well() -> None:
    app = Says(start((b"content-length", b"20000000")), body(b"x" * 20_000_000))
    with running(app, limits=Limits(send_timeout=0.1)) as server, server.client(receive_buffer=4096) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert client.socket.recv(1) == b"H"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while server.state.connections:
            assert time.monotonic() < deadline
            time.sleep(0.01)

        assert len(client.rest()) < 20_000_000


def test_bodies_that_are_no_uploads_come_as_messages_whatever_their_size() -> None:
    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, await read_all(receive))

    with running(echo) as server, server.client() as client:
        for size in (0, 1, 100_000, 5_000_000):
            client.send(b"PUT /v2/a/manifests/b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            assert client.response().body == b"x" * size
