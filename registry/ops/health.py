"""Health for probes: `/healthz` (the process answers) and `/readyz` (the storage can be read and written).

Knows a check function; must not know what is checked.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_REMEMBERED_SECONDS = 2.0
"""The check writes to the disk. Whoever asks more often gets the last result, and waits for one that is under way."""


class Readiness:
    """The result of a check that raises if something is wrong, at most as old as `_REMEMBERED_SECONDS`."""

    def __init__(self, check: Callable[[], Awaitable[None]]) -> None:
        self._check = check
        self._until = float("-inf")
        self._problem: str | None = None
        self._checking = asyncio.Lock()

    async def problem(self) -> str | None:
        """What keeps the registry from serving; None if nothing does."""
        async with self._checking:
            if time.monotonic() >= self._until:
                try:
                    await self._check()
                    self._problem = None
                except Exception as error:  # whatever it is, it is the answer
                    self._problem = str(error) or type(error).__name__
                self._until = time.monotonic() + _REMEMBERED_SECONDS
            return self._problem


def health_routes(readiness: Readiness) -> list[Route]:
    """The routes for probes."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        problem = await readiness.problem()
        if problem is None:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "unavailable", "problem": problem}, 503, {"retry-after": "5"})

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
