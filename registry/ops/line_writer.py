"""Lines onto a descriptor, a few at a time, so that a request does not wait for its line in the log.

Whole lines only, at most `PIPE_BUF` bytes in one write: that is what the kernel keeps together when several workers
write to one pipe. A reader that does not keep up holds the writer back, as with any program that writes to its output.
A disk that is full costs the lines of that while, and no others. Knows bytes; must not know what a line says.
"""

import asyncio
import atexit
import errno
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
        self._rest = b""
        """Of a line that has been written in part."""
        self._failing = False
        self._lost = 0
        atexit.register(self.flush)

    def write(self, line: bytes) -> None:
        """Take a line, which ends in a newline and has no other. To be called on the event loop."""
        self._lines.append(line)
        if self._closed or len(self._lines) >= _MAX_WAITING:
            self.flush()
        elif self._flush_later is None:
            self._flush_later = asyncio.get_running_loop().call_later(_DELAY_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what waits. Says once when that fails; if the other end is gone, no more lines are written."""
        if self._flush_later is not None:
            self._flush_later.cancel()
            self._flush_later = None
        lines, self._lines = self._lines, []
        if self._fd < 0:
            return
        begun = bool(self._rest)
        left = _pieces([self._rest, *lines] if begun else lines)
        try:
            while left:
                written = _write(self._fd, left[0])
                begun = not left[0].endswith(b"\n", 0, written)
                left[0] = left[0][written:]
                if not left[0]:
                    del left[0]
        except OSError as error:
            self._fail(error, b"".join(left), begun=begun)
        else:
            self._rest = b""
            if lines and self._failing:
                self._failing = False
                _log.warning("the %s is written again; %d lines are lost", self._what, self._lost)
                self._lost = 0

    def _fail(self, error: OSError, left: bytes, *, begun: bool) -> None:
        """Drop the lines that are `left`, but for the rest of one that has `begun`: that comes first the next time."""
        end = left.index(b"\n") + 1 if begun else 0
        self._rest = left[:end]
        self._lost += left.count(b"\n", end)
        if error.errno == errno.EPIPE:
            self._fd = -1
        if not self._failing:
            self._failing = True
            _log.warning("the %s cannot be written: %s", self._what, error.strerror)

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


def _write(fd: int, piece: bytes) -> int:
    while True:
        try:
            return os.write(fd, piece)
        except BlockingIOError:  # whoever shares the terminal or pipe with us made it non-blocking
            select.select([], [fd], [])
