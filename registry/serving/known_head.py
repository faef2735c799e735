"""A parser for what comes behind a head that is known already.

httptools takes a request that asks for an upgrade for complete at the end of its head, and what follows for another
protocol. To go on as if nothing else had been offered, a new parser is fed a head that says how long the body is and
nothing else, of which the protocol hears nothing: one parser still decides where a body ends.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import httptools


class ParserEvents(Protocol):
    """What a parser calls."""

    def on_message_begin(self) -> None:
        """The first byte of a request."""

    def on_url(self, url: bytes) -> None:
        """Part of the target."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of the head, or of the trailers."""

    def on_headers_complete(self) -> None:
        """The head is whole."""

    def on_body(self, body: bytes) -> None:
        """Part of the body."""

    def on_message_complete(self) -> None:
        """The request is whole."""


def new_parser(events: ParserEvents) -> Any:
    """A parser in front of a head."""
    parser = httptools.HttpRequestParser(events)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def parser_behind_head(events: ParserEvents, framing: Iterable[tuple[bytes, bytes]]) -> Any:
    """A parser in front of the body that the fields `framing` announce; if there is none, the request completes here.

    Raises `httptools.HttpParserError`.
    """
    later = _Later(events)
    parser = new_parser(later)
    parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % field for field in framing))
    later.telling = True
    return parser


class _Later:
    """Tells nothing of the first head."""

    def __init__(self, events: ParserEvents) -> None:
        self.telling = False
        self._events = events
        self.on_body = events.on_body
        self.on_message_complete = events.on_message_complete

    def on_message_begin(self) -> None:
        if self.telling:
            self._events.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self.telling:
            self._events.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.telling:
            self._events.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.telling:
            self._events.on_headers_complete()
