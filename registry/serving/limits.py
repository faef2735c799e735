"""What one connection may take up. Values only; sizes in bytes, times in seconds."""

from dataclasses import dataclass

MIN_BODY_RATE = 1024
"""Bytes a second of a body, on average, once we have waited `body_timeout` for it in all."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a connection, and of how many there may be in a process."""

    max_header_bytes: int = 64 * 1024
    header_timeout: float = 10.0
    body_timeout: float = 60.0
    send_timeout: float = 60.0
    max_connections: int = 1000

    def is_too_slow(self, received: int, waited: float) -> bool:
        """True if so many bytes of a body are too few for the time in which we did nothing but wait for them."""
        return waited > self.body_timeout and received < waited * MIN_BODY_RATE
