"""How much of the machine background work may take. Knows clocks."""

import asyncio
import time
from collections.abc import Callable


class Pace:
    """Works for a `share` of the time (above 0, up to 1), and rests for what is left of it."""

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._clock = clock
        self._began = clock()

    async def rest(self) -> None:
        """To be called between steps of milliseconds. With a share of 1 it only lets others have the event loop."""
        worked = self._clock() - self._began
        await asyncio.sleep(worked * (1 / self._share - 1))
        self._began = self._clock()
