"""Work that a server does by itself from time to time: forgetting uploads that nobody goes on with.

Every worker of every replica does it; what one has removed another does not find. Knows a function to call; must not
know what it removes.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

_INTERVAL_SECONDS = 3600.0
_log = logging.getLogger(__name__)


@asynccontextmanager
async def housekeeping(
    expire: Callable[[], Awaitable[int]], interval: float = _INTERVAL_SECONDS
) -> AsyncIterator[None]:
    """While the context lasts, call `expire` every `interval` seconds, the first time somewhere within the first."""
    task = asyncio.create_task(_repeat(expire, interval))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _repeat(expire: Callable[[], Awaitable[int]], interval: float) -> None:
    pause = random.uniform(0, interval)  # noqa: S311  # workers that start together shall not all look at once
    while True:
        await asyncio.sleep(pause)
        pause = interval
        try:
            count = await expire()
        except Exception:
            _log.exception("abandoned uploads could not be removed; trying again in %d s", interval)
        else:
            if count:
                _log.info("removed %d abandoned uploads", count)
