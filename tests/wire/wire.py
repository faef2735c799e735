"""Speaks HTTP to a registry, one request on one connection, and holds every answer to what all answers promise.

Knows HTTP and the form of errors; must not know resources. Nothing is normalised on the way out: a path goes over the
wire as the test wrote it.
"""

import http.client
import io
import json
import re
import socket
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPMessage
from typing import Any
from urllib.parse import urljoin, urlsplit

_SECONDS = 50.0
_CODE = re.compile(r"[A-Z_]+")
_NEXT = re.compile(r'<([^<>]+)>; rel="next"')

Body = bytes | Iterable[bytes]


@dataclass(frozen=True)
class Reply:
    """An answer."""

    method: str
    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        """The error codes of the body."""
        return [error["code"] for error in self.json["errors"]]

    @property
    def message(self) -> str:
        """The message of the first error."""
        return str(self.json["errors"][0]["message"])

    @property
    def next(self) -> str | None:
        """Where the next page is (RFC 8288)."""
        link = self.headers.get("Link")
        if link is None:
            return None
        match = _NEXT.fullmatch(link)
        assert match, f"{link!r} is no link to a next page"
        return match[1]

    def header(self, name: str) -> str:
        """A field that has to be there, once."""
        values = self.headers.get_all(name) or []
        assert len(values) == 1, f"{name} stands in the answer {len(values)} times"
        return values[0]


class Wire:
    """One registry under `url` (`http://HOST:PORT`)."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        assert parts.hostname
        self.host, self.port = parts.hostname, parts.port or 80

    def call(self, method: str, target: str, *, body: Body = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """Send a request; a body that is no bytes object goes out in chunks (RFC 9112 section 7.1)."""
        if target.startswith("http://"):
            target = target.removeprefix(f"http://{self.host}:{self.port}")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_SECONDS)
        # http.client refuses some paths that a hostile client would send
        connection._validate_path = lambda url: None  # type: ignore[attr-defined]
        with closing(connection):
            named = {name.lower() for name in headers or {}}
            connection.putrequest(method, target, skip_host="host" in named, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            self._send_body(connection, method, body, named)
            with connection.getresponse() as response:
                reply = Reply(method, response.status, response.headers, response.read())
        check(reply)
        return reply

    def connect(self) -> socket.socket:
        """A connection on which a test sends what it likes."""
        return socket.create_connection((self.host, self.port), timeout=_SECONDS)

    def absolute(self, target: str) -> str:
        """A location of an answer as a whole URL."""
        return urljoin(self.url, target)

    @staticmethod
    def _send_body(connection: http.client.HTTPConnection, method: str, body: Body, named: set[str]) -> None:
        if not isinstance(body, bytes):
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders(body, encode_chunked=True)
            return
        if "content-length" not in named and (body or method in ("POST", "PUT", "PATCH")):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)


def check(reply: Reply) -> None:
    """What every answer of a registry promises, whatever was asked. Source: distribution-spec, "Error Codes"."""
    if reply.status not in (204, 304):
        assert reply.header("Content-Length").isdigit()
        assert reply.method == "HEAD" or int(reply.header("Content-Length")) == len(reply.body)
    if reply.status >= 400 and reply.method != "HEAD":
        assert reply.header("Content-Type").partition(";")[0] == "application/json"
        assert reply.json["errors"], reply.body
        for error in reply.json["errors"]:
            assert _CODE.fullmatch(error["code"]), error
            assert len(error["message"]) > 10, error
            assert "Traceback" not in error["message"]


def raw_exchange(connection: socket.socket, data: bytes) -> Reply:
    """Send bytes as they are, half-close, and read one answer. Not through nginx, which takes a half-close for a client
    that has gone away.
    """
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
    return read_reply(connection)


def read_reply(connection: socket.socket, method: str = "GET") -> Reply:
    """Read one answer from a connection, and not a byte more: the next one may be behind it."""
    response = http.client.HTTPResponse(_Exact(connection), method=method)  # type: ignore[arg-type]
    response.begin()
    reply = Reply(method, response.status, response.headers, response.read())
    check(reply)
    return reply


class _Exact(io.RawIOBase):
    """A connection as the file that http.client reads from; takes no more than it is asked for."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection = connection

    def makefile(self, _mode: str) -> "_Exact":
        """What http.client calls first."""
        return self

    def readline(self, size: int | None = -1) -> bytes:
        """A line, of at most `size` bytes."""
        line = b""
        while not line.endswith(b"\n") and len(line) != size:
            byte = self._connection.recv(1)
            if not byte:
                break
            line += byte
        return line

    def read(self, size: int = -1) -> bytes:
        """`size` bytes, fewer only at the end."""
        data = bytearray()
        while size < 0 or len(data) < size:
            block = self._connection.recv(65536 if size < 0 else size - len(data))
            if not block:
                break
            data += block
        return bytes(data)
