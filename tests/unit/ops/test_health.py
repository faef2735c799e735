"""Probes: whoever may ask, and as often as they like, the storage is asked now and then."""

import asyncio

from registry.ops.health import Readiness


def test_probes_that_come_at_once_ask_the_storage_once() -> None:
    asked = 0

    async def check() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        raise OSError("it is full")

    async def scenario() -> list[str | None]:
        readiness = Readiness(check)
        return await asyncio.gather(*(readiness.problem() for _ in range(50)))

    assert set(asyncio.run(scenario())) == {"it is full"}
    assert asked == 1
