"""What came of each request, told when it is over to those who take it down; and the request's id, in the answer.

Wraps any ASGI application. Knows what passes between it and the client: status, sizes, times. Must not know who is told
nor what they make of it.
"""

import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_CLIENT_GONE = 499


class Witness(Protocol):
    """Takes down what came of requests. Called on the event loop, once for each."""

    def tell(self, request: "Request") -> None:
        """A request is over."""

    def close(self) -> None:
        """The loop will not run for much longer."""


class Requests:
    """Tells the `witnesses` of the requests to `app`; `client` finds out who is asking."""

    def __init__(self, app: ASGIApp, witnesses: Sequence[Witness], client: Callable[[Scope], str]) -> None:
        self._app = app
        self._witnesses = witnesses
        self._client = client
        self._prefix = os.urandom(4).hex()
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request and tell of it; hand on anything else."""
        if scope["type"] != "http":
            try:
                await self._app(scope, receive, send)
            finally:
                for witness in self._witnesses:
                    witness.close()
            return
        request = Request(scope, receive, send)
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
            request.seconds = time.perf_counter() - request.started
            request.aborted = request.aborted or not request.complete
            request.status = request.status or _CLIENT_GONE
            request.client = self._client(scope) or "-"
            for witness in self._witnesses:
                witness.tell(request)


class Request:
    """What is noted while a request is served; sizes in bytes, `seconds` when it is over."""

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
        "seconds",
        "sent",
        "started",
        "status",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.started = time.perf_counter()
        self.seconds = 0.0
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
        """What the application is given for `receive`."""
        message = await self._receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """What the application is given for `send`."""
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
    def user(self) -> str:
        """Who the gate has found to be asking; empty if nobody in particular."""
        return str(self.scope["state"].get("user", ""))

    @property
    def received_bytes(self) -> int:
        """How long its body was, as far as it was read."""
        return self.received + (self.poured.received if self.poured is not None else 0)
