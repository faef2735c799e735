"""Where a request's head ends, in bytes that arrive in any pieces. Pure; must not know what stands in a head.

The parser is strict (every line ends in CRLF), so that the first empty line it accepts is the one found here; should it
ever end a head elsewhere, `RegistryProtocol` notices and leaves the body to it.
"""

_END = b"\r\n\r\n"


class HeadEnd:
    """Finds the end of a head, also when the four bytes that mark it arrive in two reads or more."""

    def __init__(self) -> None:
        self._tail = b""

    def find(self, data: bytes) -> int:
        """How many bytes of `data`, which follows what was `passed`, belong to the head that ends in it; -1 if none
        ends.
        """
        if self._tail and (at := (self._tail + data[:3]).find(_END)) >= 0:
            return at + len(_END) - len(self._tail)
        at = data.find(_END)
        return at + len(_END) if at >= 0 else -1

    def passed(self, data: bytes) -> None:
        """`data` has gone to the parser."""
        self._tail = data[-3:] if len(data) >= 3 else (self._tail + data)[-3:]
