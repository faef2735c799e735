"""Doing something until it is done, or until somebody stops this process: with Ctrl-C, or with SIGTERM."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_until_stopped(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, for which SIGTERM is what Ctrl-C is: `work` is cancelled, may tidy up, and `KeyboardInterrupt` is
    raised then. Who sends SIGTERM once more, as service managers do, changes nothing.
    """
    stopped = False

    async def stoppable() -> T:
        task = asyncio.current_task()

        def stop() -> None:
            nonlocal stopped
            if not stopped and task is not None:
                stopped = True
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        return await work

    try:
        return asyncio.run(stoppable())
    except asyncio.CancelledError:
        if stopped:
            raise KeyboardInterrupt from None
        raise
