"""What a server does by itself it does again and again, whatever happens to it once."""

import asyncio
import logging

import pytest

from registry.ops import housekeeping as module
from registry.ops.housekeeping import Chore, housekeeping

pytestmark = pytest.mark.anyio


async def test_uploads_are_expired_again_and_again_and_after_a_failure_too(caplog: pytest.LogCaptureFixture) -> None:
    calls = 0
    enough = asyncio.Event()

    async def expire() -> str:
        nonlocal calls
        calls += 1
        if calls == 4:
            enough.set()
        if calls == 2:
            raise OSError("the disk is away")
        return f"removed {calls} abandoned uploads"

    with caplog.at_level(logging.INFO):
        async with housekeeping([Chore("removing uploads", expire, 0.001)]):
            await asyncio.wait_for(enough.wait(), 10)
    assert "removed 1 abandoned uploads" in caplog.text
    assert "removing uploads failed; it is done again" in caplog.text
    assert "the disk is away" in caplog.text


async def test_what_is_asked_for_is_done_at_once_and_with_an_interval_of_zero_only_then() -> None:
    asked, done, calls = asyncio.Event(), asyncio.Event(), 0

    async def collect() -> str:
        nonlocal calls
        calls += 1
        asked.clear()
        done.set()
        return ""

    async with housekeeping([Chore("collecting", collect, 0.0, asked=asked)]):
        await asyncio.sleep(0.01)
        assert calls == 0
        for count in (1, 2):
            done.clear()
            asked.set()
            await asyncio.wait_for(done.wait(), 10)
            assert calls == count


async def test_it_ends_with_the_server() -> None:
    async def expire() -> str:
        await asyncio.sleep(3600)
        return ""

    before = asyncio.all_tasks()
    async with housekeeping([Chore("one", expire, 0.0), Chore("two", expire, 0.0)]):
        assert len(asyncio.all_tasks() - before) == 2
    assert asyncio.all_tasks() == before


async def test_what_is_done_at_the_end_puts_it_off_for_a_few_seconds_at_most(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_END_SECONDS", 0.01)
    begun = asyncio.Event()

    async def write() -> str:
        begun.set()
        await asyncio.sleep(3600)
        return ""

    async with asyncio.timeout(10), housekeeping([Chore("writing", write, 3600, at_end=True)]):
        assert not begun.is_set()
    assert begun.is_set()
    assert "the storage is too slow" in caplog.text
