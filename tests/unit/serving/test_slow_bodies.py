"""Clients that send a body slower than anybody needs: the place they hold is given to others."""

import time
from contextlib import suppress

import pytest
from starlette.types import Receive, Scope, Send

from registry.content.errors import UploadInterrupted
from registry.serving.limits import MIN_BODY_RATE, Limits
from tests.unit.serving.apps import Uploads, answer
from tests.unit.serving.running import PATIENCE_SECONDS, Client, Response, running
from tests.unit.serving.test_uploads import PATH, digest, head

LIMITS = Limits(body_timeout=0.3)
FRAMINGS = [("Content-Length: 1000000", b"x"), ("Transfer-Encoding: chunked", b"1\r\nx\r\n")]


def trickle(client: Client, piece: bytes, pause: float) -> Response:
    """Send a piece again and again until there is an answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    client.socket.settimeout(pause)
    while time.monotonic() < deadline:
        client.send(piece)
        with suppress(TimeoutError):
            return client.response()
    raise AssertionError("the client may go on for ever")


@pytest.mark.parametrize("pause", [0.005, 0.1])
@pytest.mark.parametrize(("framing", "piece"), FRAMINGS)
def test_body_that_trickles_is_given_up_and_what_came_is_kept(framing: str, piece: bytes, pause: float) -> None:
    app = Uploads()
    with running(app, limits=LIMITS) as server, server.client() as client:
        client.send(head(framing))
        began = time.monotonic()
        response = trickle(client, piece, pause)

        assert time.monotonic() - began < 5
        assert (response.status, response.headers["connection"]) == (400, "close")
        assert f"{MIN_BODY_RATE} bytes a second".encode() in response.body
    assert app.bodies[0].startswith(b"x")
    assert set(app.bodies[0]) == set(b"x")


@pytest.mark.parametrize(("framing", "piece"), FRAMINGS)
def test_body_that_trickles_into_messages_is_given_up(framing: str, piece: bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await answer(send, status=400)

    with running(app, limits=LIMITS) as server, server.client() as client:
        client.send(head(framing, path="/v2/a/manifests/latest"))

        assert trickle(client, piece, 0.05).status == 400


@pytest.mark.parametrize("path", [PATH, "/v2/a/manifests/latest"])
def test_body_that_comes_fast_enough_is_taken_however_long_it_takes(path: str) -> None:
    piece = bytes(MIN_BODY_RATE)
    with running(Uploads(), limits=LIMITS) as server, server.client() as client:
        client.send(head(f"Content-Length: {10 * len(piece)}", path=path))
        for _ in range(10):
            client.send(piece)
            time.sleep(0.1)

        assert client.response().body == digest(10 * piece)


def test_client_is_not_blamed_for_a_storage_that_is_slow() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await scope["extensions"]["cargohold.body"].pump(lambda _: time.sleep(0.6))
            await answer(send)
        except UploadInterrupted as error:
            await answer(send, str(error).encode(), 400)

    with running(app, limits=LIMITS, threads=1) as server, server.client() as client:
        client.send(head("Content-Length: 3"))
        for _ in range(3):
            client.send(b"x")
            time.sleep(0.2)

        assert client.response().status == 200
