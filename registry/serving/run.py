"""Running the server: one process, or workers that share a socket. Knows uvicorn; must not know what is served."""

import asyncio
import functools
import gc
import logging
import multiprocessing
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from starlette.types import ASGIApp
from uvicorn import Config, Server

from registry.serving.listening import describe, forget, listen
from registry.serving.options import ServerOptions
from registry.serving.protocol import RegistryProtocol
from registry.serving.tls import TLSUnusable, load_identity, server_context
from registry.serving.transfer import Transfers
from registry.serving.workers import GRACE_SECONDS, Workers

_GC_THRESHOLD = 50_000
_AT_ONCE_SECONDS = 1.0
_log = logging.getLogger(__name__)


def serve(options: ServerOptions, app: Callable[[], ASGIApp], started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then let requests in flight finish for `drain_timeout`; SIGHUP reads the TLS files
    again.

    `app` makes the application, once in every worker. `started` is called with the address, once, when the first
    process accepts connections. Raises `CannotListen`, `TLSUnusable`, `WorkersFailed`.
    """
    if options.tls is not None:
        server_context(options.tls)  # what is wrong with the files is said once, here, and not by each worker
    _allow_all_descriptors()
    listener = listen(options)
    address = describe(listener, tls=options.tls is not None)
    try:
        if options.workers > 1:
            announced = multiprocessing.get_context("fork").Lock()

            def announce() -> None:
                if announced.acquire(block=False):  # kept: the first worker that is ready speaks for all
                    started(address)

            work = functools.partial(_work, options, app, listener, announce)
            Workers(options.workers, work, options.drain_timeout, stopping=listener.close).run()
        else:
            _work(options, app, listener, functools.partial(started, address))
    finally:
        listener.close()
        forget(options)


def _allow_all_descriptors() -> None:
    """A connection takes up to three descriptors; the usual soft limit, kept low for `select`, ends at 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _work(
    options: ServerOptions, app: Callable[[], ASGIApp], listener: socket.socket, started: Callable[[], None]
) -> None:
    transfers = Transfers(options.upload_threads)
    try:
        _Server(_config(options, app, transfers), options, started).run([listener])
    finally:
        transfers.close()


class _Server(Server):
    """uvicorn's server, which ends with exit code 0 when it was asked to stop."""

    def __init__(self, config: Config, options: ServerOptions, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._options = options
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup(sockets)
        if (parent := multiprocessing.parent_process()) is not None:
            # readable when the parent is gone: nobody would stop or replace this worker then
            asyncio.get_running_loop().add_reader(parent.sentinel, self._orphaned, parent.sentinel)
        # what start-up made stays: the collector need not look at it again and again
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 20, 20)
        self._tell()

    def _orphaned(self, sentinel: int) -> None:
        asyncio.get_running_loop().remove_reader(sentinel)
        _log.error("the parent process is gone; this worker stops")
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT; SIGHUP reads the TLS files again."""
        handlers: dict[signal.Signals, Any] = {signal.SIGTERM: self.handle_exit, signal.SIGHUP: self._reload}
        if multiprocessing.parent_process() is None:
            handlers[signal.SIGINT] = self.handle_exit
        kept = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, kept)
        try:
            yield
        finally:
            for number, earlier in kept.items():
                signal.signal(number, earlier)

    def handle_exit(self, sig: int, frame: object) -> None:
        """A signal to stop came; the second one stops at once.

        Not in a worker: whoever signals all processes and the parent that passes the signal on are two then. The
        parent kills its workers when it is told twice.
        """
        if multiprocessing.parent_process() is None:
            self.force_exit = self.should_exit
            _end_by_force(_AT_ONCE_SECONDS if self.force_exit else self._options.drain_timeout + GRACE_SECONDS)
        self.should_exit = True

    def _reload(self, sig: int, frame: object) -> None:
        if self.config.ssl is None or self._options.tls is None:
            return
        try:
            load_identity(self.config.ssl, self._options.tls)
        except TLSUnusable as error:
            _log.error("the certificate in use is kept: %s", error)
        else:
            _log.info("the certificate was read again")


def _end_by_force(seconds: float) -> None:
    """End this process so much later, if it is still there: as a parent ends its workers.

    Python waits for its threads, and one of them may wait for a storage that does not answer.
    """

    def end() -> None:
        _log.error("something does not end, probably a request to the storage; the server ends without it")
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _config(options: ServerOptions, app: Callable[[], ASGIApp], transfers: Transfers) -> Config:
    tls = options.tls

    def protocol(**parts: Any) -> RegistryProtocol:
        return RegistryProtocol(**parts, limits=options.limits, transfers=transfers)

    config = Config(
        app,
        factory=True,
        loop="uvloop",
        http=cast(type[RegistryProtocol], protocol),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=cast(int, options.keep_alive),
        timeout_graceful_shutdown=cast(int, options.drain_timeout),
        ssl_context_factory=(lambda _config, _default: server_context(tls)) if tls is not None else None,
    )
    config.load()
    return config
