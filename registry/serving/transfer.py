"""Moving bytes between a socket and something that blocks, in threads, without a thread for each slow client.

A transfer runs in a worker thread as long as the socket keeps up, waits there a few milliseconds when it does not, and
then goes back to the event loop to wait for the socket: a slow client holds neither a thread nor a buffer. A fast one
is interrupted now and then, so that others get their turn. Knows sockets; must not know HTTP.
"""

import asyncio
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum

_PATIENCE_MS = 20
_TURN_SECONDS = 0.25
_BUFFER = 1024 * 1024


class Progress(Enum):
    """Why a turn in a thread ended."""

    DONE = 1
    TURN_OVER = 2
    MUST_WAIT = 3


class TransferTimeout(Exception):
    """The other side did not move a byte for too long, or too few."""


class Transfers:
    """The threads of all transfers of a process, and one buffer for each of them."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="transfer")
        self._local = threading.local()

    def buffer(self) -> bytearray:
        """The calling thread's buffer: small enough to stay in the processor's cache from receiving to writing."""
        found: bytearray | None = getattr(self._local, "buffer", None)
        if found is None:
            found = self._local.buffer = bytearray(_BUFFER)
        return found

    def close(self) -> None:
        """End the threads; a turn that still runs ends first."""
        self._pool.shutdown()

    async def run(self, turn: Callable[["Turn"], Progress], fd: int, *, writing: bool, timeout: float) -> None:
        """Call `turn` in threads until it is done; between turns wait until socket `fd` is ready.

        Raises `TransferTimeout` after `timeout` seconds of waiting, and what `turn` raises. When it returns or raises,
        no thread is in `turn` any more, even if the caller was cancelled.
        """
        loop = asyncio.get_running_loop()
        waited = 0.0
        while True:
            state = Turn(fd, writing=writing, waited=waited)
            work = loop.run_in_executor(self._pool, turn, state)
            try:
                progress = await asyncio.shield(work)
            except asyncio.CancelledError:
                state.stopped = True
                await _until_left(work)
                raise
            if progress is Progress.DONE:
                return
            if progress is Progress.MUST_WAIT:
                began = loop.time()
                await _ready(loop, fd, writing=writing, timeout=timeout)
                state.waited += loop.time() - began
            waited = state.waited


class Turn:
    """One stay in a thread. `waited`: seconds that the transfer has waited for its socket, in earlier turns too."""

    def __init__(self, fd: int, *, writing: bool, waited: float = 0.0) -> None:
        self.stopped = False
        self.waited = waited
        self._ends = time.monotonic() + _TURN_SECONDS
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT if writing else select.POLLIN)

    @property
    def over(self) -> bool:
        """True if the thread should be given back."""
        return self.stopped or time.monotonic() >= self._ends

    def wait(self) -> bool:
        """Wait for the socket a few milliseconds; False if it is still not ready."""
        began = time.monotonic()
        ready = bool(self._poll.poll(_PATIENCE_MS))
        self.waited += time.monotonic() - began
        return ready


def duplicate(transport: asyncio.BaseTransport) -> socket.socket:
    """A socket of our own for a transport's connection: the loop refuses to watch the transport's own descriptor."""
    own: socket.socket = transport.get_extra_info("socket")
    return socket.socket(own.family, own.type, own.proto, fileno=os.dup(own.fileno()))


async def _until_left(work: "asyncio.Future[Progress]") -> None:
    """Wait until a turn has left its thread, however often the waiting is cancelled: its buffer and file are in use."""
    while not work.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({work})
    work.exception()  # seen: whoever cancelled does not care


async def _ready(loop: asyncio.AbstractEventLoop, fd: int, *, writing: bool, timeout: float) -> None:
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    watch, forget = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    watch(fd, wake)
    try:
        async with asyncio.timeout(timeout):
            await ready
    except TimeoutError as error:
        raise TransferTimeout(f"not a byte in {timeout:g} seconds") from error
    finally:
        forget(fd)
