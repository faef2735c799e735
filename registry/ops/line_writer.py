"""Lines onto a descriptor, a few at a time, so that a request does not wait for its line in the log.

Whole lines only, at most `PIPE_BUF` bytes in one write: that is what the kernel keeps together when several workers
write to one pipe. A reader that does not keep up holds the writer back, as with any program that writes to its output.
Knows bytes; must not know what a line says.
"""

import asyncio
import atexit
import logging
import os
import select

_DELAY_SECONDS = 0.05
_MAX_WAITING = 256
_log = logging.getLogger(__name__)


class LineWriter:
    """Writes to descriptor `fd`, at most `_DELAY_SECONDS` after a line was given; `what` names it in messages."""

    def __init__(self, fd: int, what: str = "access log") -> None:
        self._fd = fd
        self._what = what
        self._lines: list[bytes] = []
        self._flush_later: asyncio.TimerHandle | None = None
        self._closed = False
        atexit.register(self.flush)

    def write(self, line: bytes) -> None:
        """Take a line, which ends in a newline and has no other. To be called on the event loop."""
        self._lines.append(line)
        if self._closed or len(self._lines) >= _MAX_WAITING:
            self.flush()
        elif self._flush_later is None:
            self._flush_later = asyncio.get_running_loop().call_later(_DELAY_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what waits. If the other end is gone, say so once and drop all lines from then on."""
        if self._flush_later is not None:
            self._flush_later.cancel()
            self._flush_later = None
        lines, self._lines = self._lines, []
        if self._fd < 0:
            return
        try:
            for piece in _pieces(lines):
                _write(self._fd, piece)
        except OSError as error:
            self._fd = -1
            _log.warning("the %s cannot be written any more: %s", self._what, error.strerror)

    def close(self) -> None:
        """The loop will not run for much longer: from now on every line is written at once."""
        self._closed = True
        self.flush()


def _pieces(lines: list[bytes]) -> list[bytes]:
    pieces: list[bytes] = []
    start = size = 0
    for index, line in enumerate(lines):
        if size + len(line) > select.PIPE_BUF and index > start:
            pieces.append(b"".join(lines[start:index]))
            start, size = index, 0
        size += len(line)
    if start < len(lines):
        pieces.append(b"".join(lines[start:]))
    return pieces


def _write(fd: int, piece: bytes) -> None:
    while piece:
        try:
            piece = piece[os.write(fd, piece) :]
        except BlockingIOError:  # whoever shares the terminal or pipe with us made it non-blocking
            select.select([], [fd], [])
