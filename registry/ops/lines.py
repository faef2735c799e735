"""Whole lines to a descriptor that several processes write to. Knows the event loop; must not know what the lines say.

Lines are gathered for a moment and written with one call, which appends them whole: those of other workers stand before
or behind, never in between.
"""

import asyncio
import os

_DELAY_SECONDS = 0.05
_FULL = 16 * 1024


class LineWriter:
    """Writes to `fd`, at the latest a moment after a line came."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: list[str] = []
        self._size = 0

    def write(self, line: str) -> None:
        """Take a line that ends in a newline. Call on the event loop."""
        if not self._lines:
            asyncio.get_running_loop().call_later(_DELAY_SECONDS, self.flush)
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _FULL:
            self.flush()

    def flush(self) -> None:
        """Write what is there."""
        data = "".join(self._lines).encode()
        self._lines.clear()
        self._size = 0
        while data:
            data = data[os.write(self._fd, data) :]
