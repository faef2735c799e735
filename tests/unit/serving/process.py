"""`serve` as a process of its own, with an application for tests: run as a program, it is the server.

`GET /pid` answers the worker's process id, `GET /wait` answers when the file of that name in the directory is there,
`GET /hang` never answers and has a thread that cannot be ended, `PUT …/blobs/uploads/…` takes a body and reports in
files what became of it.
"""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from registry.serving.options import TLS, ServerOptions
from registry.serving.run import serve
from tests.unit.serving.apps import answer

PATIENCE_SECONDS = 20.0


@dataclass
class Process:
    """A server that runs; `address` is what it said at its start."""

    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1])

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def started(directory: Path, **options: Any) -> Iterator[Process]:
    """Run the server in a process group of its own; kill it at the end if it still runs."""
    program = [sys.executable, "-m", "tests.unit.serving.process", str(directory), json.dumps(options, default=str)]
    with (
        (directory / "log").open("ab") as log,
        subprocess.Popen(program, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True) as process,
    ):
        assert process.stdout is not None
        try:
            yield Process(process, process.stdout.readline().strip())
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _app(directory: Path) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(directory, receive, send)
        elif scope["path"] == "/pid":
            await answer(send, str(os.getpid()).encode())
        elif scope["path"] == "/extensions":
            await answer(send, ",".join(scope["extensions"]).encode())
        elif scope["path"] == "/wait":
            (directory / "waiting").touch()
            while not (directory / "wait").exists():  # noqa: ASYNC110  # another process makes it
                await asyncio.sleep(0.01)
            await answer(send, b"waited")
        elif scope["path"] == "/hang":
            (directory / "waiting").touch()
            await asyncio.to_thread(threading.Event().wait)
        else:
            await _upload(directory, scope, send)

    return app


async def _lifespan(directory: Path, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    (directory / f"ended-{os.getpid()}").touch()
    await send({"type": "lifespan.shutdown.complete"})


async def _upload(directory: Path, scope: Scope, send: Send) -> None:
    received = 0

    def write(block: memoryview) -> None:
        nonlocal received
        received += len(block)
        (directory / "received").write_text(str(received))

    try:
        await scope["extensions"]["cargohold.body"].pump(write)
    except asyncio.CancelledError:
        (directory / "cancelled").write_text(str(received))
        raise
    await answer(send, str(received).encode())


def _main() -> None:
    directory, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    logging.basicConfig(level="INFO")
    if "tls" in options:
        options["tls"] = TLS(**{name: Path(path) for name, path in options["tls"].items()})
    if "unix_socket" in options:
        options["unix_socket"] = Path(options["unix_socket"])
    serve(ServerOptions(**{"port": 0, **options}), lambda: _app(directory), lambda address: print(address, flush=True))


if __name__ == "__main__":
    _main()
