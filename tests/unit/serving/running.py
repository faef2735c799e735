"""The server's protocol on a loop in a thread, under an application of the test's own, and a client of bare sockets.

Knows sockets and bytes, so that tests may send what no HTTP library would.
"""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import uvloop
from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.server import ServerState

from registry.serving.limits import Limits
from registry.serving.protocol import RegistryProtocol
from registry.serving.transfer import Transfers

PATIENCE_SECONDS = 20.0


def until(holds: Callable[[], bool]) -> None:
    """Wait until something that another thread or process does has happened."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@dataclass
class Running:
    """A server that runs."""

    port: int
    loop: asyncio.AbstractEventLoop
    state: ServerState

    def client(self, **options: Any) -> "Client":
        """A new connection to it."""
        return Client(self.port, **options)


@contextmanager
def running(
    app: ASGIApp, *, limits: Limits | None = None, threads: int = 4, keep_alive: float = 30
) -> Iterator[Running]:
    """Run `app` until the block ends; the loop's own complaints fail the test."""
    loop = uvloop.new_event_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    config = Config(
        app, http=cast(Any, RegistryProtocol), ws="none", lifespan="off", log_config=None, proxy_headers=False
    )
    config.timeout_keep_alive = cast(int, keep_alive)
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Thu, 01 Jan 1970 00:00:00 GMT")]
    transfers = Transfers(threads)

    def protocol() -> RegistryProtocol:
        return RegistryProtocol(config, state, {}, loop, limits=limits or Limits(), transfers=transfers)

    listener = socket.create_server(("127.0.0.1", 0))
    server = loop.run_until_complete(loop.create_server(protocol, sock=listener))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield Running(listener.getsockname()[1], loop, state)
    finally:
        asyncio.run_coroutine_threadsafe(_end(server, state), loop).result(PATIENCE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_SECONDS)
        loop.close()
        transfers.close()
    assert not complaints, complaints


async def _end(server: asyncio.AbstractServer, state: ServerState) -> None:
    server.close()
    for connection in list(state.connections):
        cast(RegistryProtocol, connection).transport.abort()
    while state.tasks:
        await asyncio.wait(list(state.tasks))


@dataclass(frozen=True)
class Response:
    """A response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get(self, path: str = "/", method: str = "GET", fields: str = "") -> Response:
        self.send(f"{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
        return self.response(head_only=method == "HEAD")

    def response(self, *, head_only: bool = False) -> Response:
        """Read one response; fails if the connection ends before it does."""
        head = self._until(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(status_line.split(" ")[1])
        if head_only or status in (100, 204, 304):
            return Response(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Response(status, headers, self._chunks())
        return Response(status, headers, self._take(int(headers["content-length"])))

    def at_end(self) -> bool:
        """True if nothing more comes: the server closed the connection, or cut it."""
        try:
            return not self.unread and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def rest(self) -> bytes:
        """Everything until the connection ends, however it does."""
        data = self.unread
        try:
            while more := self.socket.recv(65536):
                data += more
        except ConnectionResetError:
            logging.getLogger(__name__).debug("reset after %d bytes", len(data))
        return data

    def _more(self) -> None:
        more = self.socket.recv(1 << 20)
        if not more:
            raise EOFError(f"the connection ended after {self.unread!r}")
        self.unread += more

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.unread:
            self._more()
        end = self.unread.index(mark) + len(mark)
        found, self.unread = self.unread[:end], self.unread[end:]
        return found

    def _take(self, count: int) -> bytes:
        parts = [self.unread[:count]]
        self.unread = self.unread[count:]
        missing = count - len(parts[0])
        while missing:
            more = self.socket.recv(min(missing, 1 << 20))
            if not more:
                raise EOFError(f"{missing} bytes are missing")
            parts.append(more)
            missing -= len(more)
        return b"".join(parts)

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n"), 16):
            body += self._take(size)
            assert self._take(2) == b"\r\n"
        assert self._take(2) == b"\r\n"
        return body
