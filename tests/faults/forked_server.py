"""The real server, forked from a process that has imported it already: a start takes tens of milliseconds."""

import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path

from config.settings import LogSettings, Settings
from config.storage import StorageSettings
from registry.app import build_app
from registry.serving.options import ServerOptions
from registry.serving.run import serve


class ForkedServer:
    """A server over `root` on a free port of the loopback; `prepare` runs in its process before it serves."""

    def __init__(self, root: Path, prepare: Callable[[], None] | None = None) -> None:
        receiving, sending = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(receiving)
            _be_the_server(root, sending, prepare)
        os.close(sending)
        with os.fdopen(receiving) as pipe:
            address = pipe.readline()
        if not address:
            self.stop()
            raise RuntimeError("the server died while it was starting")
        self.port = int(address.rpartition(":")[2])

    def stop(self) -> None:
        """Kill it, if it is not dead yet; returns when it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _be_the_server(root: Path, sending: int, prepare: Callable[[], None] | None) -> None:
    try:
        gc.freeze()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 2)
        settings = Settings(storage=StorageSettings(root=root), log=LogSettings(access=False))
        if prepare is not None:
            prepare()
        serve(
            ServerOptions(port=0, drain_timeout=1),
            lambda: build_app(settings),
            lambda address: _tell(sending, address),
        )
    finally:
        os._exit(1)


def _tell(sending: int, address: str) -> None:
    os.write(sending, f"{address}\n".encode())
    os.close(sending)
