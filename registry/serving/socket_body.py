"""A request body that is still in the socket: received, and poured out, in one thread over one warm buffer.

Receiving, hashing and writing a block all let go of the interpreter lock, so several uploads run side by side.
Implements `registry.content.bodies.Body`; must not know what the bytes mean.
"""

import asyncio
import socket
from collections.abc import Callable

from registry.content.bodies import Write
from registry.content.errors import UploadInterrupted
from registry.serving.chunked import ChunkedDecoder, ChunkedInvalid
from registry.serving.limits import MIN_BODY_RATE, Limits
from registry.serving.transfer import Progress, Transfers, TransferTimeout, Turn, duplicate


class SocketBody:
    """The body of one request. `length` in bytes; None if it comes in the chunked transfer coding.

    `early` is what was received together with the head. `begin` is called before the first read (it sends 100
    Continue), `end` with the bytes behind the body when it is complete.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        transfers: Transfers,
        *,
        length: int | None,
        early: bytes,
        limits: Limits,
        begin: Callable[[], None],
        end: Callable[[bytes], None],
    ) -> None:
        self._transport = transport
        self._transfers = transfers
        self._limits = limits
        self._begin = begin
        self._end = end
        self._early = memoryview(early if length is None else early[:length])
        self._behind = b"" if length is None else early[length:]
        self._remaining = 0 if length is None else length
        self._decoder = ChunkedDecoder() if length is None else None
        self._closed = False
        self.begun = False
        self.received = 0

    async def pump(self, write: Write) -> int:
        """See `Body`. To be called once."""
        self.begun = True
        self._begin()
        try:
            with duplicate(self._transport) as connection:
                connection.setblocking(False)
                await self._transfers.run(
                    lambda turn: self._turn(connection, write, turn),
                    connection.fileno(),
                    writing=False,
                    timeout=self._limits.body_timeout,
                )
        except (ConnectionError, TransferTimeout, ChunkedInvalid) as error:
            raise UploadInterrupted(f"the body ended after {self.received} bytes: {error}") from error
        self._end(self._behind)
        return self.received

    def give_back(self) -> bytes:
        """What was received together with the head, for whoever reads the body instead of us. Not after `pump`."""
        self.begun = True
        return bytes(self._early)

    @property
    def _done(self) -> bool:
        return self._decoder.done if self._decoder is not None else self._remaining == 0

    def _turn(self, connection: socket.socket, write: Write, turn: Turn) -> Progress:
        buffer = self._transfers.buffer()
        while not self._done:
            if turn.over:
                return Progress.TURN_OVER
            count = self._fill(connection, buffer)
            if count:
                self._pour(buffer, count, write)
            elif self._closed:
                raise ConnectionResetError("the client closed the connection")
            elif self._limits.is_too_slow(self.received, turn.waited):
                raise TransferTimeout(f"less than {MIN_BODY_RATE} bytes a second")
            elif not turn.wait():
                return Progress.MUST_WAIT
        return Progress.DONE

    def _fill(self, connection: socket.socket, buffer: bytearray) -> int:
        """Receive what is there, up to the end of the buffer or of the body; 0 if nothing is."""
        wanted = len(buffer) if self._decoder is not None else min(len(buffer), self._remaining)
        view = memoryview(buffer)[:wanted]
        count = min(len(self._early), wanted)
        view[:count] = self._early[:count]
        self._early = self._early[count:]
        while count < wanted and not self._closed:
            try:
                received = connection.recv_into(view[count:])
            except BlockingIOError:
                break
            except ConnectionError:
                received = 0
            self._closed = received == 0
            count += received
        return count

    def _pour(self, buffer: bytearray, count: int, write: Write) -> None:
        if self._decoder is None:
            self._remaining -= count
        else:
            received = count
            count, consumed = self._decoder.decode(buffer, received)
            if self._decoder.done:
                self._behind = bytes(buffer[consumed:received]) + bytes(self._early)
        if count:
            write(memoryview(buffer)[:count])
            self.received += count
