"""Clients that send requests without waiting for answers: each is answered in its turn, and few are held at a time."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from starlette.types import Receive, Scope, Send

from tests.unit.serving.apps import answer, read_all
from tests.unit.serving.running import PATIENCE_SECONDS, Client, Running, running
from tests.unit.serving.test_uploads import chunked

GET, PUT, CHUNKED, LARGE = ("GET", b""), ("PUT", b"abc"), ("POST", b"abcd"), ("PUT", b"GET / HTTP/1.1\r\n\r\n" * 4000)
SENT = {
    GET: b"GET /v2/a/tags/list HTTP/1.1\r\nHost: a\r\n\r\n",
    PUT: b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    CHUNKED: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abcd", 3),
    LARGE: b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(LARGE[1]), LARGE[1]),
}


class Held:
    """An application that answers when it is let go, and knows what it was asked."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), asyncio.Event()
        self.seen: list[tuple[str, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append((scope["method"], await read_all(receive)))
        self.entered.set()
        await self.go.wait()
        await answer(send)


@contextmanager
def held() -> Iterator[tuple[Running, Client, Held]]:
    app = Held()
    with running(app) as server, server.client() as client:
        try:
            yield server, client, app
        finally:
            server.loop.call_soon_threadsafe(app.go.set)


def most_waiting(server: Running) -> int:
    """Requests that wait in the only connection, once the loop has had time to read what was sent."""

    async def count() -> int:
        most = 0
        for _ in range(20):
            await asyncio.sleep(0.01)
            (connection,) = server.state.connections
            most = max(most, len(cast(Any, connection).pipeline))
        return most

    return asyncio.run_coroutine_threadsafe(count(), server.loop).result(PATIENCE_SECONDS)


@pytest.mark.parametrize("first", [GET, PUT, CHUNKED, LARGE])
@pytest.mark.parametrize("others", [[GET], [PUT], [CHUNKED], [PUT, GET], [LARGE, GET, CHUNKED]])
def test_few_of_many_pipelined_requests_are_held_and_all_are_answered(
    first: tuple[str, bytes], others: list[tuple[str, bytes]]
) -> None:
    asked = [first, *others * (300_000 // sum(len(SENT[request]) for request in others))]
    with held() as (server, client, app):
        sender = threading.Thread(target=client.send, args=(b"".join(SENT[request] for request in asked),))
        sender.start()
        assert app.entered.wait(PATIENCE_SECONDS)

        assert most_waiting(server) < 1000
        server.loop.call_soon_threadsafe(app.go.set)
        for _ in asked:
            assert client.response().status == 200
        sender.join()
    assert app.seen == asked


@pytest.mark.parametrize("others", [[GET], [PUT], [CHUNKED]])
def test_connection_that_closes_in_the_middle_answers_nothing_behind_it(others: list[tuple[str, bytes]]) -> None:
    sent = b"".join(SENT[request] for request in others)
    with held() as (server, client, app):
        server.loop.call_soon_threadsafe(app.go.set)
        client.send(sent * 100 + SENT[GET].replace(b"Host", b"Connection: close\r\nHost") + sent * 1000)

        assert client.rest().count(b"HTTP/1.1 200") == 101
    assert app.seen == [*others * 100, GET]
