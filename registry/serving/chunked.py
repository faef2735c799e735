"""Bodies in the chunked transfer coding (RFC 9112 section 7.1), decoded in place. Pure: bytes in a buffer, no socket.

Strict, since a lenient reader behind a strict proxy is how requests are smuggled: sizes are hexadecimal digits and
nothing else, lines end in CRLF, chunk extensions are skipped, trailer fields are dropped.
"""

import re
from enum import Enum

_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n\x00]*)?\r\n")
_NEXT_CHUNK = re.compile(rb"\r\n([1-9a-fA-F][0-9a-fA-F]{0,14})\r\n")
_MAX_LINE = 4096
_MAX_TRAILERS = 16384


class ChunkedInvalid(Exception):
    """The body is not well-formed."""


class _State(Enum):
    SIZE = 1
    DATA = 2
    END_OF_DATA = 3
    TRAILERS = 4
    DONE = 5


class ChunkedDecoder:
    """The state between two reads of one body."""

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._remaining = 0
        self._line = b""
        self._trailers = 0

    @property
    def done(self) -> bool:
        """True once the last chunk and the trailers are over."""
        return self._state is _State.DONE

    def decode(self, buffer: bytearray, end: int) -> tuple[int, int]:
        """Decode `buffer[:end]`, moving the payload to its front.

        Returns how many payload bytes lie there now, and how many bytes of `end` belonged to the body (fewer than
        `end` only when `done`). Raises `ChunkedInvalid`.
        """
        view = memoryview(buffer)
        kept = position = 0
        while position < end and self._state is not _State.DONE:
            if self._state is _State.DATA:
                count = min(self._remaining, end - position)
                if kept != position:
                    view[kept : kept + count] = view[position : position + count]
                kept += count
                position += count
                self._remaining -= count
                if self._remaining == 0:
                    position = self._next_chunk(buffer, position, end)
            else:
                position = self._take_line(buffer, position, end)
        return kept, position

    def _next_chunk(self, buffer: bytearray, position: int, end: int) -> int:
        """Step over the border between two chunks, in one go where it is plain and all of it is here."""
        border = _NEXT_CHUNK.match(buffer, position, end)
        if border is None:
            self._state = _State.END_OF_DATA
            return position
        self._remaining = int(border[1], 16)
        return border.end()

    def _take_line(self, buffer: bytearray, position: int, end: int) -> int:
        newline = buffer.find(b"\n", position, end)
        stop = end if newline < 0 else newline + 1
        self._line += bytes(memoryview(buffer)[position:stop])
        if len(self._line) > _MAX_LINE:
            raise ChunkedInvalid("a line of the chunked body is too long")
        if newline >= 0:
            line, self._line = self._line, b""
            self._line_read(line)
        return stop

    def _line_read(self, line: bytes) -> None:
        if self._state is _State.END_OF_DATA:
            if line != b"\r\n":
                raise ChunkedInvalid("a chunk is longer than its size says")
            self._state = _State.SIZE
        elif self._state is _State.SIZE:
            size = _SIZE.fullmatch(line)
            if size is None:
                raise ChunkedInvalid("a chunk's size is not a hexadecimal number")
            self._remaining = int(size[1], 16)
            self._state = _State.DATA if self._remaining else _State.TRAILERS
        else:
            self._trailers += len(line)
            if self._trailers > _MAX_TRAILERS or not line.endswith(b"\r\n"):
                raise ChunkedInvalid("the trailer of the chunked body is malformed")
            if line == b"\r\n":
                self._state = _State.DONE
