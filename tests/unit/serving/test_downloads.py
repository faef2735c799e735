"""Files sent by the kernel: every byte that was promised, or a connection that is cut."""

import hashlib
import os
import random
import threading
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from registry.serving.cycle import ClientGone
from registry.serving.limits import Limits
from tests.unit.serving.running import PATIENCE_SECONDS, running

SIZE = 20_000_000
CONTENT = random.Random(2).randbytes(SIZE)


class Files:
    """Sends `count` bytes from `offset` of a file, as the path says; keeps the errors that sending raised."""

    def __init__(self, path: Path, content: bytes = CONTENT) -> None:
        path.write_bytes(content)
        self.fd = os.open(path, os.O_RDONLY)
        self.errors: list[Exception] = []
        self.ended = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert "http.response.zerocopysend" in scope["extensions"]
        offset, count = (int(part) for part in scope["path"].split("/")[1:])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % count)]})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body"})
            return
        try:
            await send({"type": "http.response.zerocopysend", "file": self.fd, "offset": offset, "count": count})
        except Exception as error:
            self.errors.append(error)
            raise
        finally:
            self.ended.set()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "file")


def test_any_part_of_a_file_arrives_and_the_connection_stays(files: Files) -> None:
    parts = [(0, SIZE), (0, 1), (5, 0), (1, 65536), (7, 65537), (SIZE - 1, 1), (1_000_003, 9_000_001), (0, SIZE)]
    with running(files) as server, server.client() as client:
        for offset, count in parts:
            assert client.get(f"/{offset}/{count}").body == CONTENT[offset : offset + count]


def test_head_has_the_length_and_no_body(files: Files) -> None:
    with running(files) as server, server.client() as client:
        assert client.get(f"/0/{SIZE}", "HEAD").headers["content-length"] == str(SIZE)
        assert client.get("/0/10").body == CONTENT[:10]


def test_pipelined_requests_are_answered_in_order(files: Files) -> None:
    with running(files) as server, server.client(receive_buffer=4096) as client:
        for count in (10, SIZE, 10, 1_000_000):
            client.send(b"GET /0/%d HTTP/1.1\r\nHost: a\r\n\r\n" % count)

        for count in (10, SIZE, 10, 1_000_000):
            assert client.response().body == CONTENT[:count]


def test_slow_readers_hold_no_thread(files: Files) -> None:
    with running(files, threads=1) as server:
        slow = [server.client(receive_buffer=4096) for _ in range(5)]
        for client in slow:
            client.send(b"GET /0/%d HTTP/1.1\r\nHost: a\r\n\r\n" % SIZE)
            assert client.socket.recv(1) == b"H"
            client.unread = b"H"
        with server.client() as quick:
            assert hashlib.sha256(quick.get(f"/0/{SIZE}").body).digest() == hashlib.sha256(CONTENT).digest()
        for client in slow:
            assert client.response().body == CONTENT
            client.socket.close()


def test_client_that_stops_reading_is_cut_off(files: Files) -> None:
    with running(files, limits=Limits(send_timeout=0.2)) as server, server.client(receive_buffer=4096) as client:
        client.send(b"GET /0/%d HTTP/1.1\r\nHost: a\r\n\r\n" % SIZE)
        assert files.ended.wait(PATIENCE_SECONDS)

        assert len(client.rest()) < SIZE
    (error,) = files.errors
    assert isinstance(error, ClientGone)
    assert 0 < error.sent < SIZE


def test_application_learns_that_the_client_went_away(files: Files) -> None:
    with running(files) as server:
        with server.client(receive_buffer=4096) as client:
            client.send(b"GET /0/%d HTTP/1.1\r\nHost: a\r\n\r\n" % SIZE)
            assert client.socket.recv(1) == b"H"
        assert files.ended.wait(PATIENCE_SECONDS)
    assert isinstance(files.errors[0], ClientGone)


@pytest.mark.parametrize("count", [1000, 1_000_000])
def test_file_that_is_shorter_than_promised_never_looks_whole(
    tmp_path: Path, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files(tmp_path / "short", CONTENT[: count - 1])
    with running(files) as server, server.client() as client:
        client.send(b"GET /0/%d HTTP/1.1\r\nHost: a\r\n\r\n" % count)
        _, _, body = client.rest().partition(b"\r\n\r\n")

        assert len(body) < count
    assert f"{count} were promised" in caplog.text
