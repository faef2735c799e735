"""Several worker processes that share a socket: started, replaced when one dies, stopped together."""

import logging
import multiprocessing
import multiprocessing.connection
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess

_log = logging.getLogger(__name__)
_QUICK_SECONDS = 2.0
_MAX_QUICK_DEATHS = 5
_GRACE_SECONDS = 5.0


class WorkersFailed(Exception):
    """Workers die as soon as they are started."""


class Workers:
    """`count` processes, forked before this one has threads, each running `work`."""

    def __init__(self, count: int, work: Callable[[], None], drain_timeout: float) -> None:
        self._count = count
        self._work = work
        self._drain_timeout = drain_timeout
        self._context = multiprocessing.get_context("fork")
        self._running: dict[BaseProcess, float] = {}
        self._signals = 0
        self._quick_deaths = 0

    def run(self) -> None:
        """Run until SIGTERM or SIGINT; the second one ends the workers at once. Raises `WorkersFailed`."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            while not self._signals:
                while len(self._running) < self._count:
                    self._start()
                self._reap()
        finally:
            self._stop()

    def _on_signal(self, number: int, frame: object) -> None:
        self._signals += 1

    def _start(self) -> None:
        process = self._context.Process(target=self._work)
        process.start()
        self._running[process] = time.monotonic()

    def _reap(self) -> None:
        multiprocessing.connection.wait([process.sentinel for process in self._running], timeout=0.5)
        for process in [process for process in self._running if process.exitcode is not None]:
            lived = time.monotonic() - self._running.pop(process)
            if self._signals:
                continue
            _log.error("worker %s ended with exit code %s, another one takes its place", process.pid, process.exitcode)
            self._quick_deaths = self._quick_deaths + 1 if lived < _QUICK_SECONDS else 0
            if self._quick_deaths >= _MAX_QUICK_DEATHS:
                raise WorkersFailed("the workers end as soon as they are started; see the messages above")

    def _stop(self) -> None:
        for process in self._running:
            process.terminate()
        deadline = time.monotonic() + self._drain_timeout + _GRACE_SECONDS
        while self._running and self._signals < 2 and time.monotonic() < deadline:
            self._reap()
        for process in self._running:
            process.kill()
            process.join()
