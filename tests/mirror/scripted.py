"""A registry that answers what a test has written down, right or wrong, and remembers what it was asked.

Knows HTTP; must not know who asks. An answer can end in the middle of its body, as a connection that breaks does.
"""

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request; names of fields in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Says:
    """An answer; with `cut` the connection ends after so many bytes of the body, with `drip` each takes so long. It has
    no `Content-Length` if it is not `sized`, and ends with its last chunk then, or else with the connection.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    drip: float = 0.0
    sized: bool = True
    chunked: bool = False

    @property
    def fields(self) -> Mapping[str, str]:
        """All header fields."""
        if self.chunked:
            return {"Transfer-Encoding": "chunked", **self.headers}
        return {"Content-Length": str(len(self.body)), **self.headers} if self.sized else self.headers

    @property
    def is_last(self) -> bool:
        """True if the connection ends with it."""
        return self.cut is not None or not (self.sized or self.chunked)


Script = Callable[[Asked], Says]


@dataclass
class Scripted:
    """The running registry."""

    address: str
    asked: list[Asked]

    def paths(self, method: str = "GET") -> list[str]:
        """What was asked for, in order."""
        return [asked.path for asked in self.asked if asked.method == method]


@contextmanager
def scripted(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """A registry on the loopback that follows `script`, and speaks TLS if that is given; gone afterwards."""
    asked: list[Asked] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            fields = {name.lower(): value for name, value in self.headers.items()}
            request = Asked(self.command, self.path, fields, self.rfile.read(length))
            with lock:
                asked.append(request)
                says = script(request)
            self.send_response(says.status)
            for name, value in says.fields.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.pour(says)
            if says.is_last:
                self.close_connection = True

        def pour(self, says: Says) -> None:
            step = 1 if says.drip else max(1, len(says.body))
            with suppress(ConnectionError):  # who asked need not wait for the end
                for start in range(0, len(says.body[: says.cut]), step):
                    block = says.body[: says.cut][start : start + step]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if says.chunked else block)
                    time.sleep(says.drip)
                if says.chunked and says.cut is None:
                    self.wfile.write(b"0\r\n\r\n")

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # http.server's names

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Scripted(f"127.0.0.1:{server.server_address[1]}", asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
