"""Work that a server does by itself from time to time.

Every worker of every replica does it; the chores see to it that this does no harm. Knows functions to call; must not
know what they do.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

_END_SECONDS = 5.0
"""How long the end of a server may be put off."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do every `interval` seconds, and perhaps once more at the end, for which it then has a few seconds;
    `work` returns what is worth telling, or nothing. It is done at once when `asked` is set, which `work` clears, and
    only then with an interval of 0.
    """

    name: str
    work: Callable[[], Awaitable[str]]
    interval: float
    at_end: bool = False
    asked: asyncio.Event | None = None


@asynccontextmanager
async def housekeeping(chores: Sequence[Chore]) -> AsyncIterator[None]:
    """While the context lasts, do each chore again and again, the first time somewhere within its interval."""
    tasks = [asyncio.create_task(_repeat(chore)) for chore in chores]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await asyncio.wait_for(_end(chores), _END_SECONDS)
        except TimeoutError:
            _log.warning("not all is written down that could have been: the storage is too slow")


async def _end(chores: Sequence[Chore]) -> None:
    for chore in chores:
        if chore.at_end:
            await _do(chore)


async def _repeat(chore: Chore) -> None:
    pause = random.uniform(0, chore.interval)  # noqa: S311  # workers that start together shall not all look at once
    while True:
        await _wait(chore, pause)
        pause = chore.interval
        await _do(chore)


async def _wait(chore: Chore, pause: float) -> None:
    if chore.asked is None:
        await asyncio.sleep(pause)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(pause or None):
            await chore.asked.wait()


async def _do(chore: Chore) -> None:
    try:
        told = await chore.work()
    except Exception:
        _log.exception("%s failed; it is done again every %d s", chore.name, chore.interval)
    else:
        if told:
            _log.info("%s", told)
