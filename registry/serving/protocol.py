"""HTTP/1.1 on one connection: uvicorn's protocol on httptools, with uploads left in the socket for whoever wants them.

The parser is fed up to the end of a request's head. If the request is an upload, its body stays in the socket, and the
application gets an object that pours it (`SocketBody`, in the scope's extensions as `cargohold.body`); the parser sees
none of it and a new one takes over behind the body. Everything unusual goes uvicorn's way, through the parser: TLS,
pipelining, a head whose end is not where a read showed it. Offers of another protocol are ignored. Also keeps a
connection within `Limits`.

Few pipelined requests are parsed ahead of the one that is being answered: they take fifty times the bytes they came in.
"""

import asyncio
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from registry.serving.cycle import Cycle
from registry.serving.flow import Flow
from registry.serving.heads import HeadEnd
from registry.serving.known_head import new_parser, parser_behind_head
from registry.serving.limits import Limits
from registry.serving.lingering import Lingering
from registry.serving.refusals import overloaded, refusal
from registry.serving.socket_body import SocketBody
from registry.serving.transfer import Transfers

_UPLOADS = b"/blobs/uploads/"
_UPLOAD_METHODS = ("PATCH", "PUT", "POST")
_BODY_FIELDS = (b"content-length", b"transfer-encoding")
_NOTED_FIELDS = frozenset((b"host", b"expect", b"transfer-encoding"))
_MAX_URL = 16 * 1024
_MAX_FIELDS = 200
_MAX_PIPELINED = 32
_PIECE = 32 * 1024
"""So much of a body goes to the parser at once: what stands behind the body in a piece becomes requests."""
_HIGH_WATER = 512 * 1024
_ASGI: Any = {"version": "3.0", "spec_version": "2.4"}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RegistryProtocol(HttpToolsProtocol):
    """One client's connection."""

    cycle: Cycle
    flow: Flow

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits,
        transfers: Transfers,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.limits = limits
        self.transfers = transfers
        self._extensions: dict[str, Any] = {}
        self._head_end = HeadEnd()
        self._head_bytes = 0
        self._in_body = False
        self._body_seen = False
        self._objection = (400, "the request is not valid HTTP/1.1")
        self._hosts = 0
        self._trailers = 0
        self._coded = False
        self._lingering = False
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected; its first request must come soon."""
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = Flow(self.transport)
        if self.scheme == "http":
            self._extensions = {"http.response.zerocopysend": {}}
        if len(self.connections) > 2 * self.limits.max_connections:
            self.transport.abort()  # those above the limit itself are told when they ask for something
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client: heads, and the bodies that nobody takes from the socket."""
        self._unset_keepalive_if_required()
        while data and not self._over:
            if self._is_full:
                self.flow.hold(data)
                return
            if self._in_body:
                data = self._feed_body(data)
                continue
            if self.cycle is not None and not self.cycle.keep_alive:
                return  # the connection closes behind what was asked before
            end = self._head_end.find(data)
            if not self._head_fits(len(data) if end < 0 else end):
                return
            if end < 0:
                self._head_began()
                data = self._feed(data)
                continue
            self._body_seen = False
            data = self._feed(data if end == len(data) else data[:end]) + data[end:]
            if self._at_body() and self._leave_in_socket(data):
                return

    @property
    def _over(self) -> bool:
        """True if nothing more that comes from the client counts."""
        return self._lingering or self.transport.is_closing()

    @property
    def _is_full(self) -> bool:
        return len(self.pipeline) >= _MAX_PIPELINED

    def _at_body(self) -> bool:
        """True if the head that was just fed is followed by a body of which the parser has seen nothing."""
        return self._in_body and not self._body_seen

    def _feed_body(self, data: bytes) -> bytes:
        """Give the parser the rest of a body, or as much of it as there is; returns what it has left of `data`."""
        at, left = 0, b""
        while at < len(data) and self._in_body and not left and not self._is_full and not self._over:
            left = self._feed(data[at : at + _PIECE])
            at += _PIECE
        return left + data[at:]

    def _feed(self, data: bytes) -> bytes:
        """Give the parser `data`; returns what it has left of it, behind a head that asks for an upgrade."""
        self._head_end.passed(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade()
            return data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self.refuse(*self._objection)
        return b""

    def _decline_upgrade(self) -> None:
        """Go on behind the head as if nothing else had been offered (RFC 9110, 7.8).

        The parser has said that the request is complete; the application's task has not run yet, and sees none of it.
        """
        if self.scope["method"] == "CONNECT":
            self.refuse(400, "there are no tunnels here")  # what follows is for somebody else
            return
        self._in_body = True
        self.cycle.body_complete = False
        self.cycle.more_body = True
        self.cycle.message_event.clear()
        try:
            self.parser = parser_behind_head(self, [field for field in self.headers if field[0] in _BODY_FIELDS])
        except httptools.HttpParserError:
            self.refuse(*self._objection)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._hosts = 0
        self._trailers = 0
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        scope: Any = {  # without method, path and query as yet
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "headers": self.headers,
            "state": self.app_state.copy(),
            "extensions": self._extensions,
        }
        self.scope = scope

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of the head; or of the trailers, which no proxy has looked at, and nobody here wants."""
        if self._in_body:
            self._trailers += 1
            if self._trailers > _MAX_FIELDS:
                raise self._too_many_fields()
            return
        name = name.lower()
        if name in _NOTED_FIELDS:
            if name == b"host":
                self._hosts += 1
            elif name == b"transfer-encoding":
                self._coded = True
            elif value.lower() == b"100-continue":
                self.expect_100_continue = True
        self.headers.append((name, value))
        if len(self.headers) > _MAX_FIELDS:
            raise self._too_many_fields()

    def _too_many_fields(self) -> Exception:
        self._objection = (431, f"the request has more than {_MAX_FIELDS} fields")
        return httptools.HttpParserError("too many fields")

    def on_headers_complete(self) -> None:
        """The head is whole: start the application."""
        self._head_arrived()
        method: bytes = self.parser.get_method()
        version: str = self.parser.get_http_version()
        if self._hosts != 1 or self._coded:
            self._check_head(version)
        url = httptools.parse_url(self.url)
        raw_path: bytes = url.path
        path = raw_path.decode("ascii")
        scope = self.scope
        scope["method"] = method.decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = url.query or b""
        self._in_body = True
        earlier = self.cycle
        self.cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue and version == "1.1",
            keep_alive=version == "1.1" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self.cycle.protocol = self
        app: Any = overloaded if len(self.connections) > self.limits.max_connections else self.app
        if earlier is None or earlier.response_complete:
            self._start_asgi_task(self.cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, app))

    def _check_head(self, version: str) -> None:
        """Raises `HttpParserError`, before the application hears of the request."""
        if self._hosts > 1 or (self._hosts == 0 and version == "1.1"):
            raise httptools.HttpParserError("a request names one host (RFC 9112, 3.2)")
        if not self._coded:
            return
        self._coded = False
        values = b",".join(value for name, value in self.headers if name == b"transfer-encoding")
        *others, last = [coding.strip().lower() for coding in values.split(b",") if coding.strip()] or [b""]
        if last != b"chunked" or b"chunked" in others:
            raise httptools.HttpParserError("nobody can tell where the body ends (RFC 9112, 6.3)")
        if others:
            self._objection = (501, "of the transfer codings only chunked is known here")
            raise httptools.HttpParserError("an unknown transfer coding (RFC 9112, 6.1)")

    def on_body(self, body: bytes) -> None:
        """Part of a body that goes uvicorn's way."""
        self._body_seen = True
        if self.cycle.response_complete:
            return
        self.cycle.body += body
        self.cycle.received += len(body)
        if len(self.cycle.body) > _HIGH_WATER:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_body = False
        self._head_bytes = 0
        cycle = self.cycle
        cycle.body_complete = True
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def on_url(self, url: bytes) -> None:
        """Part of the request's target."""
        self.url += url
        if len(self.url) > _MAX_URL:
            self._objection = (414, f"the URL is longer than {_MAX_URL} bytes")
            raise httptools.HttpParserError("URL too long")

    def _leave_in_socket(self, early: bytes) -> bool:
        """Give the application the body itself, of which `early` has been read; False if it goes uvicorn's way."""
        if self.scheme != "http" or self.pipeline or self.scope["http_version"] != "1.1":
            return False
        if self.scope["method"] not in _UPLOAD_METHODS or _UPLOADS not in self.scope["raw_path"]:
            return False
        fields = [(name, value) for name, value in self.headers if name in _BODY_FIELDS]
        if len(fields) != 1 or (fields[0][0] == b"transfer-encoding" and fields[0][1].lower() != b"chunked"):
            return False
        length = int(fields[0][1]) if fields[0][0] == b"content-length" else None
        if length is not None and length <= len(early):
            return False  # it is here already
        self.flow.pause_reading()
        body = SocketBody(
            self.transport,
            self.transfers,
            length=length,
            early=early,
            limits=self.limits,
            begin=self._send_continue,
            end=self._behind_body,
        )
        # the task of the application has not run yet: it was made during this very read
        extensions: dict[str, Any] = {**self._extensions, "cargohold.body": body}
        self.scope["extensions"] = extensions
        self.cycle.in_socket = body
        return True

    def through_parser(self, early: bytes) -> None:
        """The application asked for messages after all: the body that was left in the socket goes uvicorn's way."""
        if early:
            self.data_received(early)

    def _send_continue(self) -> None:
        if self.cycle.waiting_for_100_continue:
            self.cycle.waiting_for_100_continue = False
            self.transport.write(_CONTINUE)

    def _behind_body(self, data: bytes) -> None:
        """The body was taken to its end; `data` was read behind it."""
        self.parser = new_parser(self)
        self._head_end = HeadEnd()
        self._head_bytes = 0
        self._in_body = False
        self.cycle.body_complete = True
        self.cycle.more_body = False
        self.cycle.message_event.set()
        if data:
            self.data_received(data)

    def on_response_complete(self) -> None:
        """A response is out: next request, or wait for one."""
        if self._lingering:
            return
        super().on_response_complete()
        if self.flow.held and not self._is_full and not self._over:
            self.data_received(self.flow.let_go())
        if self._head_bytes and not self._in_body and not self._over:
            self._expect_head()

    def close_after(self, cycle: Cycle) -> None:
        """Close behind a response, such that a client which is still sending gets to read it."""
        if cycle.body_complete and not self.pipeline:
            self._close()
        else:
            self._linger()

    def _close(self) -> None:
        """Close when the client has taken what it was sent, or does not take it for too long."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self.limits.send_timeout, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        """No request has come for a while."""
        self._close()

    def _linger(self) -> None:
        if not self.transport.can_write_eof():
            self._close()
            return
        self._lingering = True
        self._head_arrived()
        self.connections.discard(self)
        Lingering.take_over(self.transport, self.loop)

    def shutdown(self) -> None:
        """The server wants to stop: idle connections close, others after their response."""
        if self.cycle is None or self.cycle.response_complete:
            self._close()
        else:
            self.cycle.keep_alive = False

    def refuse(self, status: int, message: str) -> None:
        """Answer what cannot be served as a request, and close; without an answer where one has begun already."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.abort()
                return
        if not self.transport.is_closing():
            self.transport.write(refusal(status, message, self.server_state.default_headers))
            self._linger()

    def _head_fits(self, count: int) -> bool:
        self._head_bytes += count
        if self._head_bytes <= self.limits.max_header_bytes:
            return True
        self.refuse(431, f"the request's head is larger than {self.limits.max_header_bytes} bytes")
        return False

    def _head_began(self) -> None:
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()

    def _expect_head(self) -> None:
        self._head_arrived()
        self._head_timer = self.loop.call_later(self.limits.header_timeout, self._head_is_late)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._head_bytes:
            late = f"the request's head took longer than {self.limits.header_timeout:g} seconds"
            self.refuse(408, late)
        else:
            self.transport.close()
