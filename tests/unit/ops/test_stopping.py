"""Ctrl-C and SIGTERM."""

import asyncio
import os
import signal

import pytest

from registry.ops.stopping import run_until_stopped


async def _cleared(done: list[str], *signals: int) -> None:
    try:
        for number in signals:
            os.kill(os.getpid(), number)
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.01)
        done.append("tidied up")


@pytest.mark.parametrize("signals", [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGTERM, signal.SIGTERM)])
def test_what_is_stopped_tidies_up_first(signals: tuple[int, ...]) -> None:
    done: list[str] = []

    with pytest.raises(KeyboardInterrupt):
        run_until_stopped(_cleared(done, *signals))

    assert done == ["tidied up"]


def test_what_is_done_is_returned_and_the_signal_means_again_what_it_did() -> None:
    before = signal.getsignal(signal.SIGTERM)

    assert run_until_stopped(asyncio.sleep(0, "done")) == "done"

    assert signal.getsignal(signal.SIGTERM) == before
