"""Several worker processes that share a socket: started, replaced when one dies, stopped together.

Knows processes and signals; must not know what a worker does.
"""

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess

_log = logging.getLogger(__name__)
_QUICK_SECONDS = 2.0
_MAX_QUICK_DEATHS = 5
GRACE_SECONDS = 5.0
"""A process that has not ended so long after the drain is ended by force."""
_STOPPING = (signal.SIGTERM, signal.SIGINT)
_HANDLED = (*_STOPPING, signal.SIGHUP)


class WorkersFailed(Exception):
    """Workers die as soon as they are started."""


class Workers:
    """`count` processes, forked before this one has threads, each running `work`.

    `stopping` is called before they are told to stop. A worker begins with SIGTERM and SIGHUP blocked, and unblocks
    them when it has its own handlers: none is lost.
    """

    def __init__(
        self, count: int, work: Callable[[], None], drain_timeout: float, *, stopping: Callable[[], None]
    ) -> None:
        self._count = count
        self._work = work
        self._drain_timeout = drain_timeout
        self._stopping = stopping
        self._context = multiprocessing.get_context("fork")
        self._running: dict[BaseProcess, float] = {}
        self._signals = 0
        self._reload = False
        self._quick_deaths = 0
        self._woken, self._wake = os.pipe()

    def run(self) -> None:
        """Run until SIGTERM or SIGINT; the second one ends the workers at once. SIGHUP is passed on to them.

        Raises `WorkersFailed`.
        """
        for number in _HANDLED:
            signal.signal(number, self._on_signal)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        try:
            while not self._signals:
                while len(self._running) < self._count:
                    self._start()
                self._reap(None)
                self._pass_reload_on()
        finally:
            self._stop()
            signal.set_wakeup_fd(-1)
            os.close(self._woken)
            os.close(self._wake)

    def _on_signal(self, number: int, frame: object) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self._signals += 1

    def _start(self) -> None:
        process = self._context.Process(target=self._enter)
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        self._running[process] = time.monotonic()

    def _enter(self) -> None:
        """The first thing that a worker does."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
        self._work()

    def _pass_reload_on(self) -> None:
        if self._reload:
            self._reload = False
            for process in self._running:
                os.kill(process.pid or 0, signal.SIGHUP)

    def _reap(self, timeout: float | None) -> None:
        """Wait until a worker ends or a signal comes, at most `timeout` seconds, and forget those that have ended."""
        ready = multiprocessing.connection.wait([self._woken, *(each.sentinel for each in self._running)], timeout)
        if self._woken in ready:
            os.read(self._woken, 64)
        for process in [process for process in self._running if process.exitcode is not None]:
            lived = time.monotonic() - self._running.pop(process)
            if self._signals:
                continue
            _log.error("worker %s ended with exit code %s, another one takes its place", process.pid, process.exitcode)
            self._quick_deaths = self._quick_deaths + 1 if lived < _QUICK_SECONDS else 0
            if self._quick_deaths >= _MAX_QUICK_DEATHS:
                raise WorkersFailed("the workers end as soon as they are started; see the messages above")

    def _stop(self) -> None:
        self._stopping()
        for process in self._running:
            process.terminate()
        deadline = time.monotonic() + self._drain_timeout + GRACE_SECONDS
        while self._running and self._signals < 2 and (left := deadline - time.monotonic()) > 0:
            self._reap(left)
        for process in self._running:
            process.kill()
            process.join()
