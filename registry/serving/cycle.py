"""One request and its response on a connection: uvicorn's, with whole responses in one write and files by `sendfile`.

What differs from uvicorn's: the head waits for the first part of the body and goes out with it;
`http.response.zerocopysend` is understood (ASGI extension of that name); a response to a request whose body was not
read to its end closes the connection.
"""

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from registry.serving.file_response import FilePart, FileShrunk, SendingBroke, send_file
from registry.serving.refusals import send_error
from registry.serving.socket_body import SocketBody

if TYPE_CHECKING:
    from registry.serving.protocol import RegistryProtocol

_log = logging.getLogger(__name__)
_SMALL_FILE = 64 * 1024
_CLOSE = (b"connection", b"close")


class ClientGone(ConnectionAbortedError):
    """Nobody is there to receive the response; `sent` bytes of the message in question went out before."""

    def __init__(self, sent: int = 0) -> None:
        super().__init__("the client has gone away")
        self.sent = sent


class Cycle(RequestResponseCycle):
    """A request that is being answered."""

    protocol: "RegistryProtocol"
    body_complete = False
    """True once the request's body has been received whole, or there is none."""
    in_socket: SocketBody | None = None
    """The body, if it was left in the socket."""
    received = 0
    """Bytes of the body that went another way."""
    _waited = 0.0
    _head: bytes | None = None

    async def run_asgi(self, app: Any) -> None:
        """Run the application. Whatever it does, the client gets a whole response or a connection that is cut."""
        try:
            await app(self.scope, self.receive, self.send)
            if not self.response_complete and not self.disconnected:
                raise RuntimeError("the application ended without completing its response")  # noqa: TRY301
        except ClientGone as error:
            _log.debug("%s: %s", self.scope.get("client"), error)
        except asyncio.CancelledError:
            await self._end_early(503, "UNAVAILABLE", "the server is being stopped; try again in a moment")
        except Exception:
            _log.exception("a request was not answered properly: %s %s", self.scope["method"], self.scope["path"])
            await self._end_early(500, "UNKNOWN", "the server made a mistake; its log says more")
        finally:
            self.on_response = lambda: None

    async def _end_early(self, status: int, code: str, message: str) -> None:
        """Say what happened if that is still possible. Otherwise cut: a part must not look like the whole."""
        if self.response_complete or self.disconnected:
            return
        if self.response_started or self.flow.write_paused:
            self.transport.abort()
            return
        await send_error(self.send, status, code, message)

    async def receive(self) -> Any:
        """The request's body, for those who do not take it from the socket; a silent or slow client counts as gone."""
        if self.in_socket is not None and not self.body_complete:
            if self.in_socket.begun:
                return {"type": "http.disconnect"}  # it broke off in the middle
            self.protocol.through_parser(self.in_socket.give_back())
            self.in_socket = None
        if not self.more_body or self.body:
            return await super().receive()
        limits, loop = self.protocol.limits, self.protocol.loop
        if limits.is_too_slow(self.received, self._waited):
            return {"type": "http.disconnect"}
        began = loop.time()
        try:
            async with asyncio.timeout(limits.body_timeout):
                message = await super().receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        self._waited += loop.time() - began
        return message

    async def send(self, message: Any) -> None:
        """The application's side of the response. Raises `ClientGone`. Source: ASGI 2.4, "HTTP & WebSocket"."""
        if self.flow.write_paused and not self.disconnected:
            await self._drain()
        if self.disconnected:
            raise ClientGone
        kind = message["type"]
        if not self.response_started:
            if kind != "http.response.start":
                raise RuntimeError(f"expected http.response.start, got {kind}")
            self._start(message["status"], message.get("headers", ()))
        elif self.response_complete:
            raise RuntimeError(f"{kind} after the response was complete")
        elif kind == "http.response.body":
            self._send_part(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.zerocopysend":
            await self._send_file(message)
        else:
            raise RuntimeError(f"unexpected {kind}")

    async def _drain(self) -> None:
        """Wait until the client has taken most of what it was sent; one that takes nothing for too long is cut off."""
        try:
            async with asyncio.timeout(self.protocol.limits.send_timeout):
                await self.flow.drain()
        except TimeoutError:
            self.disconnected = True
            self.transport.abort()

    def _start(self, status: int, headers: Any) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        parts = [STATUS_LINE[status]]
        fields = [*self.default_headers, *headers]
        if not self.body_complete and self.more_body:
            self.keep_alive = False
        if not self.keep_alive:
            fields.append(_CLOSE)
        for name, value in fields:
            if name == b"content-length":
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif name == b"connection" and value == b"close":
                self.keep_alive = False
            parts += (name, b": ", value, b"\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            fields.append((b"transfer-encoding", b"chunked"))
            parts.append(b"transfer-encoding: chunked\r\n")
        parts.append(b"\r\n")
        head = b"".join(parts)
        # one count finds any line break that a header value smuggles in
        if head.count(b"\n") != len(fields) + 2 or head.count(b"\r") != len(fields) + 2 or b"\0" in head:
            self.response_started = False
            raise RuntimeError("a header field of the response holds a control character")
        self._head = head

    def _send_part(self, body: bytes, *, more: bool) -> None:
        head, self._head = self._head or b"", None
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            body = b""
        elif self.chunked_encoding:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        else:
            self._count(len(body))
        if head or body:
            self.transport.write(head + body if head else body)
        if not more:
            self._complete()

    async def _send_file(self, message: Any) -> None:
        """`http.response.zerocopysend`: `file` (a descriptor), `offset`, `count`; always the whole body of ours."""
        part = FilePart(message["file"], message["offset"], message["count"])
        head, self._head = self._head or b"", None
        if self.scope["method"] == "HEAD":
            raise RuntimeError("the response to a HEAD has no body")
        self._count(part.count)
        if part.count <= _SMALL_FILE:
            self.transport.write(head + _read(part))
        else:
            try:
                await self._send_large(head, part)
            except SendingBroke as error:
                self.disconnected = True
                self.transport.abort()
                raise ClientGone(error.sent) from error
        self._complete()

    async def _send_large(self, head: bytes, part: FilePart) -> None:
        if self.transport.get_write_buffer_size():
            # an earlier response to a pipelining client is still on its way out, and must come first
            self.transport.set_write_buffer_limits(high=0)
            self.transport.write(head)
            head = b""
            if self.flow.write_paused:
                await self._drain()
                if self.disconnected:
                    raise ClientGone
            self.transport.set_write_buffer_limits()
        timeout = self.protocol.limits.send_timeout
        await send_file(self.transport, self.protocol.transfers, head, part, timeout=timeout)

    def _count(self, length: int) -> None:
        if length > self.expected_content_length:
            raise RuntimeError("the response is longer than its Content-Length")
        self.expected_content_length -= length

    def _complete(self) -> None:
        if self.expected_content_length != 0:
            raise RuntimeError("the response is shorter than its Content-Length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.protocol.close_after(self)
        self.on_response()


def _read(part: FilePart) -> bytes:
    data = os.pread(part.fd, part.count, part.offset)
    if len(data) != part.count:
        raise FileShrunk(f"the file has {len(data)} bytes after byte {part.offset}, {part.count} were promised")
    return data
