"""Running the server: one process, or workers that share a socket. Knows uvicorn; must not know what is served."""

import functools
import gc
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from starlette.types import ASGIApp
from uvicorn import Config, Server

from registry.serving.listening import describe, listen
from registry.serving.options import ServerOptions
from registry.serving.protocol import RegistryProtocol
from registry.serving.transfer import Transfers
from registry.serving.workers import Workers

_GC_THRESHOLD = 50_000


def serve(options: ServerOptions, app: Callable[[], ASGIApp], started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then let requests in flight finish for `drain_timeout`.

    `app` makes the application, once in every worker. `started` is called with the address once connections are
    accepted. Raises `CannotListen`, `WorkersFailed`.
    """
    listener = listen(options)
    address = describe(listener, tls=options.tls is not None)
    try:
        if options.workers > 1:
            started(address)
            work = functools.partial(_work, options, app, listener, lambda: None)
            Workers(options.workers, work, options.drain_timeout).run()
        else:
            _work(options, app, listener, functools.partial(started, address))
    finally:
        if options.unix_socket is not None:
            options.unix_socket.unlink(missing_ok=True)


def _work(
    options: ServerOptions, app: Callable[[], ASGIApp], listener: socket.socket, started: Callable[[], None]
) -> None:
    _Server(_config(options, app), started).run([listener])


class _Server(Server):
    """uvicorn's server, which ends with exit code 0 when it was asked to stop."""

    def __init__(self, config: Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup(sockets)
        # what start-up made stays: the collector need not look at it again and again
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 20, 20)
        self._tell()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on the first signal, at once on the second; SIGHUP reads the TLS files again."""
        handlers = {signal.SIGINT: self.handle_exit, signal.SIGTERM: self.handle_exit, signal.SIGHUP: self._reload}
        kept = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, earlier in kept.items():
                signal.signal(number, earlier)

    def handle_exit(self, sig: int, frame: object) -> None:
        """A signal to stop came."""
        self.force_exit = self.should_exit
        self.should_exit = True

    def _reload(self, sig: int, frame: object) -> None:
        if self.config.ssl is not None and self.config.ssl_certfile is not None:
            self.config.ssl.load_cert_chain(self.config.ssl_certfile, self.config.ssl_keyfile)


def _config(options: ServerOptions, app: Callable[[], ASGIApp]) -> Config:
    tls = options.tls
    transfers = Transfers(options.upload_threads)

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
        timeout_keep_alive=int(options.keep_alive),
        timeout_graceful_shutdown=int(options.drain_timeout),
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
        ssl_ca_certs=str(tls.client_ca) if tls and tls.client_ca else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.client_ca else ssl.CERT_NONE,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config
