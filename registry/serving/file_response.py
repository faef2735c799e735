"""A file's bytes into a socket by the kernel (`sendfile`), after the response's head.

Knows descriptors; must not know HTTP beyond "these bytes come first".
"""

import asyncio
import os
import socket
from dataclasses import dataclass

from registry.serving.transfer import Progress, Transfers, TransferTimeout, Turn, duplicate

_PIECE = 256 * 1024
"""Bytes for one `sendfile`. Measured: with pieces of 4 MiB a client gets a quarter less."""
_STEP = 4 * 1024 * 1024
_AHEAD = 16 * 1024 * 1024
"""So far ahead of what is being sent the kernel is told to read; by itself it reads 128 KiB ahead, too little for a
disk that serves several requests at once."""


class FileShrunk(Exception):
    """The file ended before the bytes that were promised."""


class SendingBroke(Exception):
    """The client went away or took no byte for too long, after `sent` bytes of the file."""

    def __init__(self, sent: int) -> None:
        super().__init__(f"the client took no more than {sent} bytes")
        self.sent = sent


@dataclass(frozen=True, slots=True)
class FilePart:
    """`count` bytes from `offset` of an open file."""

    fd: int
    offset: int
    count: int


async def send_file(
    transport: asyncio.Transport, transfers: Transfers, head: bytes, part: FilePart, *, timeout: float
) -> None:
    """Send `head`, then part of a file. Nothing may wait in the transport's own buffer.

    Raises `FileShrunk`, `SendingBroke`; some of the bytes have gone out then, and the connection must be closed.
    """
    with duplicate(transport) as connection:
        connection.setblocking(False)
        sending = _Sending(connection, head, part)
        try:
            await transfers.run(sending.turn, connection.fileno(), writing=True, timeout=timeout)
        except (ConnectionError, TransferTimeout) as error:
            raise SendingBroke(sending.offset - part.offset) from error


class _Sending:
    def __init__(self, connection: socket.socket, head: bytes, part: FilePart) -> None:
        self._connection = connection
        self._head = head
        self._fd = part.fd
        self.offset = part.offset
        self._end = part.offset + part.count
        self._told = part.offset

    def turn(self, turn: Turn) -> Progress:
        while self._head or self.offset < self._end:
            if turn.over:
                return Progress.TURN_OVER
            try:
                self._send_some()
            except BlockingIOError:
                if not turn.wait():
                    return Progress.MUST_WAIT
        return Progress.DONE

    def _send_some(self) -> None:
        if self._head:
            self._head = self._head[self._connection.send(self._head, socket.MSG_MORE) :]
            return
        while self._told < self._end and self._told - self.offset < _AHEAD:
            if not _in_memory(self._fd, self._told):
                os.posix_fadvise(self._fd, self._told, _STEP, os.POSIX_FADV_WILLNEED)
            self._told += _STEP
        sent = os.sendfile(self._connection.fileno(), self._fd, self.offset, min(_PIECE, self._end - self.offset))
        if sent == 0:
            raise FileShrunk(f"the file ends at byte {self.offset}, {self._end} were promised")
        self.offset += sent


def _in_memory(fd: int, offset: int) -> bool:
    """True if the byte there can be had without the disk. Asking for a file that is in memory anyway costs more."""
    try:
        os.preadv(fd, [bytearray(1)], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True  # the filesystem cannot tell; it then reads ahead by itself
    return True
