"""Runs the registry as a process of its own, for tests that talk to it as the world does: over a socket.

Knows how to start, find ready, stop and kill a server. Must not know what the server answers beyond "it answers", and
never stops a process that it did not start.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

START_SECONDS = 20.0
STOP_SECONDS = 40.0
_POLL_SECONDS = 0.02


def cargohold_command() -> list[str]:
    """The installed `cargohold` of the interpreter that runs the tests."""
    beside = Path(sys.executable).with_name("cargohold")
    found = str(beside) if beside.exists() else shutil.which("cargohold")
    if found is None:
        raise FileNotFoundError("the `cargohold` command is not installed beside this Python: run `make test`")
    return [found]


class ReservedPort:
    """A port on the loopback that the kernel gives to nobody else until it is closed.

    A socket that is bound and does not listen keeps the port; with SO_REUSEADDR on both sides a server can listen there
    nevertheless, as often as it is restarted.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


@dataclass
class LiveServer:
    """One registry on one directory and one port; it may be stopped, killed and started again."""

    root: Path
    port: int
    log: Path
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`, the form that image references begin with."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://{self.address}"

    def command(self) -> list[str]:
        """What is run."""
        return [*cargohold_command(), "serve", "--root", str(self.root), "--listen", self.address, *self.arguments]

    def start(self, *, ready: bool = True) -> None:
        """Start the process and, unless told otherwise, wait until it answers."""
        if self.process is not None:
            raise RuntimeError("the server runs already")
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        if ready:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Return when `/v2/` answers; raise with the server's log if it ends first or takes more than 20 seconds."""
        process = self._running()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"the server ended with {process.returncode} instead of starting:\n{self.tail()}")
            if self.answers():
                return
            time.sleep(_POLL_SECONDS)
        raise TimeoutError(f"the server did not answer within {START_SECONDS:g} s:\n{self.tail()}")

    def answers(self) -> bool:
        """True if the server answers `/v2/` (end-1) now, be it with 401."""
        return answers_at(self.address, "/v2/")

    def stop(self) -> int:
        """SIGTERM, wait, return the exit code. After 40 seconds it is killed and `TimeoutError` raised."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"the server did not stop within {STOP_SECONDS:g} s:\n{self.tail()}") from None
        self.process = None
        return code

    def kill(self) -> None:
        """SIGKILL to the server and its workers; returns when the server is gone."""
        process = self._running()
        with suppress(ProcessLookupError):  # it may have ended by itself, which `wait` then collects
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.process = None

    def restart(self) -> None:
        """Stop it in good order and start it again on the same directory and port."""
        self.stop()
        self.start()

    def tail(self, size: int = 8000) -> str:
        """The end of what the server wrote, at most `size` bytes."""
        return self.log.read_bytes()[-size:].decode(errors="replace") if self.log.exists() else ""

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise RuntimeError("the server does not run")
        return self.process


def answers_at(address: str, path: str) -> bool:
    """True if a server at HOST:PORT answers GET `path` with 200, or 401.

    Asked often while a server starts, so by what costs little: an HTTP client that could do TLS reads the authorities
    of the machine each time.
    """
    with closing(HTTPConnection(address, timeout=5)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status in {200, 401}
        except (OSError, HTTPException):
            return False


@contextmanager
def live_server(
    directory: Path, *, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[LiveServer]:
    """A running server with its data in `directory`/data and its log in `directory`/server.log; gone afterwards.

    Leaving the context kills the server: what it answered has to be on disk already. A test of the orderly way calls
    `stop` itself.
    """
    port = ReservedPort()
    server = LiveServer(directory / "data", port.number, directory / "server.log", arguments, environment or {})
    try:
        server.start()
        yield server
    finally:
        if server.process is not None:
            server.kill()
        port.close()
