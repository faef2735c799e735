"""The end of a connection whose client is still sending: its bytes are read and dropped for a while.

Closing a socket with unread bytes makes the kernel reset the connection, and a reset makes the client's kernel throw
away the response that it has not read yet. So: no more from us, and patience with the client, within bounds.
"""

import asyncio

_PATIENCE_SECONDS = 5.0
_MAX_BYTES = 256 * 1024 * 1024


class Lingering(asyncio.Protocol):
    """Drops what comes until the client closes."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._dropped = 0
        self._timer = loop.call_later(_PATIENCE_SECONDS, transport.abort)

    @classmethod
    def take_over(cls, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Let a connection whose response is written end this way."""
        transport.set_protocol(cls(transport, loop))
        transport.write_eof()
        transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """More of the body that nobody wants."""
        self._dropped += len(data)
        if self._dropped > _MAX_BYTES:
            self._transport.abort()

    def eof_received(self) -> bool:
        """The client has closed its side."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._timer.cancel()
