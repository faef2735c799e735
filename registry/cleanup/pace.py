"""How much of the machine background work may take. Knows clocks."""

import asyncio
import time
from collections.abc import Callable


class Pace:
    """Works for a `share` of the time (above 0, up to 1), and rests for what is left of it."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._began = time.monotonic()

    async def rest(self) -> None:
        """To be called between steps of milliseconds. With a share of 1 it only lets others have the event loop."""
        worked = time.monotonic() - self._began
        await asyncio.sleep(worked * (1 / self._share - 1))
        self._began = time.monotonic()


class Rate:
    """Lets `per_second` bytes through in a second; 0 is any number."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._free = clock()

    async def took(self, size: int) -> None:
        """To be called after `size` bytes; returns when the next ones may come. Idle time is not made up for."""
        if self._per_second:
            now = self._clock()
            self._free = max(self._free, now) + size / self._per_second
            await asyncio.sleep(self._free - now)
