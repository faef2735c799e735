"""Transfers in threads."""

import asyncio
import socket
import threading

import pytest

from registry.serving.transfer import Progress, Transfers, TransferTimeout, Turn
from tests.unit.serving.running import PATIENCE_SECONDS


def test_cancelled_transfer_does_not_return_while_its_thread_works() -> None:
    entered, leave, left = threading.Event(), threading.Event(), threading.Event()

    def turn(_: Turn) -> Progress:
        entered.set()
        assert leave.wait(PATIENCE_SECONDS)
        left.set()
        return Progress.TURN_OVER

    async def scenario() -> None:
        here, _there = socket.socketpair()
        task = asyncio.create_task(transfers.run(turn, here.fileno(), writing=False, timeout=5))
        await asyncio.to_thread(entered.wait, PATIENCE_SECONDS)
        for _ in range(3):
            task.cancel()
            done, _pending = await asyncio.wait({task}, timeout=0.02)
            assert not done
        leave.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left.is_set()
        here.close()
        _there.close()

    transfers = Transfers(1)
    asyncio.run(scenario())
    transfers.close()


def test_cancelled_transfer_stops_between_two_blocks() -> None:
    def turn(state: Turn) -> Progress:
        while not state.stopped:
            state.wait()
        return Progress.TURN_OVER

    async def scenario() -> None:
        here, there = socket.socketpair()
        task = asyncio.create_task(transfers.run(turn, here.fileno(), writing=False, timeout=5))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        here.close()
        there.close()

    transfers = Transfers(1)
    asyncio.run(scenario())
    transfers.close()


def test_error_of_a_turn_comes_out() -> None:
    def turn(_: Turn) -> Progress:
        raise OSError(28, "no space")

    async def scenario() -> None:
        here, there = socket.socketpair()
        with pytest.raises(OSError, match="no space"):
            await transfers.run(turn, here.fileno(), writing=False, timeout=5)
        here.close()
        there.close()

    transfers = Transfers(1)
    asyncio.run(scenario())
    transfers.close()


def test_transfer_that_waits_too_long_times_out_and_holds_no_thread_meanwhile() -> None:
    async def scenario() -> None:
        here, there = socket.socketpair()
        waiting = asyncio.create_task(
            transfers.run(lambda _: Progress.MUST_WAIT, here.fileno(), writing=False, timeout=0.2)
        )
        await asyncio.sleep(0)
        await transfers.run(lambda _: Progress.DONE, there.fileno(), writing=False, timeout=0.2)
        assert not waiting.done()
        with pytest.raises(TransferTimeout):
            await waiting
        here.close()
        there.close()

    transfers = Transfers(1)
    asyncio.run(scenario())
    transfers.close()
