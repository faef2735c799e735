"""One line for each request, written when it is over; and the request's id, in the line and in the answer.

Wraps any ASGI application. Says who asked for what, what came of it, and how long it took. Must not say secrets:
headers are not logged but for the user agent, and of the query only parameters that are known to be harmless. Nothing a
client sends can end a line or forge a field.
"""

import os
import re
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.ops.line_writer import LineWriter

# the registry's own parameters
_HARMLESS = frozenset(b"digest digest-algorithm mount from n last tag artifactType ns service scope".split())
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_MAX_TARGET = 512
_MAX_AGENT = 200
_CLIENT_GONE = 499


class AccessLog:
    """Logs the requests to `app`, as JSON objects or as text for people."""

    def __init__(self, app: ASGIApp, lines: LineWriter, *, json_lines: bool, client: Callable[[Scope], str]) -> None:
        self._app = app
        self._lines = lines
        self._client = client
        self._format = _as_json if json_lines else _as_text
        self._prefix = os.urandom(4).hex()
        self._count = 0
        self._second = 0
        self._stamp = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request and log it; hand on anything else."""
        if scope["type"] != "http":
            try:
                await self._app(scope, receive, send)
            finally:
                self._lines.close()
            return
        request = _Request(scope, receive, send)
        self._count += 1
        request.id = request.given_id or b"%b-%x" % (self._prefix.encode(), self._count)
        scope.setdefault("state", {})["request_id"] = request.id.decode("ascii")
        try:
            await self._app(scope, request.receive if request.has_body else receive, request.send)
        except ConnectionError as error:  # from `send`: nobody is there to read
            request.aborted = True
            request.sent += getattr(error, "sent", 0)
            raise
        except Exception:
            request.status = request.status or 500
            raise
        finally:
            request.aborted = request.aborted or not request.complete
            request.status = request.status or _CLIENT_GONE
            request.client = self._client(scope) or "-"
            self._lines.write(self._format(self._time(), request))

    def _time(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._stamp}.{int((now - second) * 1000):03d}Z"


class _Request:
    """What is noted while a request is served; sizes in bytes."""

    __slots__ = (
        "_receive",
        "_send",
        "aborted",
        "agent",
        "client",
        "complete",
        "given_id",
        "has_body",
        "id",
        "poured",
        "received",
        "scope",
        "sent",
        "started",
        "status",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.started = time.perf_counter()
        self.scope = scope
        self._receive = receive
        self._send = send
        self.status = self.sent = self.received = 0
        self.aborted = self.complete = False
        self.client = ""
        self.agent = self.id = self.given_id = b""
        for name, value in scope["headers"]:
            if name == b"user-agent":
                self.agent = value
            elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                self.given_id = value
        method = scope["method"]
        self.has_body = method not in ("GET", "HEAD")
        # an upload that our server leaves in the socket; it counts for itself
        self.poured: Any = scope["extensions"].get("cargohold.body") if "extensions" in scope else None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            status: int = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.id)]
            await self._send(message)
            if status >= 200:
                self.status = status
            return
        await self._send(message)
        if kind == "http.response.body":
            self.sent += len(message.get("body", b""))
        elif kind == "http.response.zerocopysend":
            self.sent += message["count"]
        self.complete = not message.get("more_body", False)

    @property
    def target(self) -> str:
        """Path and query as they came, percent-encoded; values that may be secret are left out."""
        raw: bytes | None = self.scope.get("raw_path")
        path = (raw if raw is not None else self.scope["path"].encode())[: _MAX_TARGET + 1]
        query: bytes = self.scope["query_string"]
        text = _shortened(path, _MAX_TARGET)
        return f"{text}?{_shortened(_without_secrets(query), _MAX_TARGET)}" if query else text

    @property
    def milliseconds(self) -> float:
        return (time.perf_counter() - self.started) * 1000

    @property
    def user(self) -> str:
        """Who the gate has found to be asking; empty if nobody in particular."""
        return str(self.scope["state"].get("user", ""))

    @property
    def body_bytes(self) -> int:
        return self.received + (self.poured.received if self.poured is not None else 0)


def _without_secrets(query: bytes) -> bytes:
    kept = []
    for parameter in query.split(b"&"):
        name, equals, value = parameter.partition(b"=")
        if not equals:
            kept.append(b"***" if name else b"")
        else:
            kept.append(name + (b"=***" if value and name not in _HARMLESS else equals + value))
    return b"&".join(kept)


def _shortened(text: bytes, limit: int) -> str:
    return (text if len(text) <= limit else text[:limit] + b"...").decode("latin-1")


def _as_json(stamp: str, request: _Request) -> bytes:
    escape = encode_basestring_ascii
    aborted = ',"aborted":true' if request.aborted else ""
    user = f',"user":{escape(request.user)}' if request.user else ""
    return (
        f'{{"time":"{stamp}","level":"info","message":"request","id":"{request.id.decode()}",'
        f'"client":{escape(request.client)}{user},"method":{escape(request.scope["method"])},'
        f'"target":{escape(request.target)},"status":{request.status},"sent":{request.sent},'
        f'"received":{request.body_bytes},"ms":{request.milliseconds:.2f},'
        f'"agent":{escape(_shortened(request.agent, _MAX_AGENT))}{aborted}}}\n'
    ).encode()


def _as_text(stamp: str, request: _Request) -> bytes:
    # quotes, backslashes, control characters and everything beyond ASCII come out escaped
    agent = encode_basestring_ascii(_shortened(request.agent, _MAX_AGENT))
    target = encode_basestring_ascii(request.target)[1:-1]
    user = f" user={encode_basestring_ascii(request.user)[1:-1]}" if request.user else ""
    return (
        f"{stamp} {request.client}{user} {request.scope['method']} {target} {request.status}"
        f"{' aborted' if request.aborted else ''} sent={request.sent} received={request.body_bytes}"
        f" {request.milliseconds:.1f}ms {agent} id={request.id.decode()}\n"
    ).encode()
