"""Our HTTP protocol beside uvicorn's own, under one tiny application: what each costs without a registry on top.

`python -m benchmarks.protocols` prints a table: uploads that are hashed and written to a file, with a length and in
chunks of 32 KiB as docker sends them, a download of a file, and small requests (with `wrk`, if it is installed).

Columns: uvicorn's protocol; ours with bodies as ASGI messages, for an application that knows no extension; ours
with uploads from the socket and `sendfile`; and what the machine can do, one thread with one buffer and no HTTP.
"""

import argparse
import asyncio
import hashlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from starlette.types import Receive, Scope, Send
from uvicorn import Config, Server

from registry.serving.limits import Limits
from registry.serving.protocol import RegistryProtocol
from registry.serving.transfer import Transfers

_BLOCK = 256 * 1024
_UPLOAD = "/v2/a/blobs/uploads/1"


class _App:
    """Hashes and writes what is uploaded, sends a file, says hello."""

    def __init__(self, directory: Path, *, direct: bool) -> None:
        self._directory = directory
        self._direct = direct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in ("PUT", "PATCH"):
            await _say(send, await self._take(scope, receive))
        elif scope["path"] == "/file":
            await self._give(scope, send)
        else:
            await _say(send, b"{}")

    async def _take(self, scope: Scope, receive: Receive) -> bytes:
        hashed = hashlib.sha256()
        with (self._directory / f"upload-{scope['path'].rsplit('/', 1)[1]}").open("wb", buffering=0) as file:

            def write(block: memoryview | bytes) -> None:
                hashed.update(block)
                file.write(block)

            body: Any = scope.get("extensions", {}).get("cargohold.body")
            if body is not None and self._direct:
                await body.pump(write)
                return hashed.hexdigest().encode()
            more, pending = True, b""
            while more:
                message = await receive()
                more = message["more_body"]
                pending += message["body"]
                if len(pending) >= _BLOCK or not more:
                    await asyncio.to_thread(write, pending)
                    pending = b""
        return hashed.hexdigest().encode()

    async def _give(self, scope: Scope, send: Send) -> None:
        with (self._directory / "file").open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            headers = [(b"content-length", b"%d" % size)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if self._direct and "http.response.zerocopysend" in scope.get("extensions", {}):
                kind = "http.response.zerocopysend"
                await send({"type": kind, "file": file.fileno(), "offset": 0, "count": size})
                return
            while block := await asyncio.to_thread(file.read, _BLOCK):
                await send({"type": "http.response.body", "body": block, "more_body": True})
            await send({"type": "http.response.body"})


async def _say(send: Send, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _serve(kind: str, directory: Path, fd: int) -> None:
    if kind == "bare":
        _serve_bare(directory, socket.socket(fileno=fd))
    transfers = Transfers(16)

    def ours(**parts: Any) -> RegistryProtocol:
        return RegistryProtocol(**parts, limits=Limits(), transfers=transfers)

    http: Any = "httptools" if kind == "uvicorn" else ours
    app = cast(Any, _App(directory, direct=kind == "ours"))
    Server(Config(app, http=http, loop="uvloop", ws="none", lifespan="off", log_level="error", access_log=False)).run(
        [socket.socket(fileno=fd)]
    )


def _serve_bare(directory: Path, listener: socket.socket) -> None:
    """What the machine can do: one thread, one buffer, no HTTP beyond the end of the head."""
    buffer = memoryview(bytearray(512 * 1024))
    while True:
        client, _ = listener.accept()
        with client:
            head, _, early = client.recv(65536).partition(b"\r\n\r\n")
            if head.startswith(b"GET /file"):
                with (directory / "file").open("rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
                    client.sendfile(file)
                continue
            hashed = hashlib.sha256(early)
            with (directory / "upload-bare").open("wb", buffering=0) as out:
                out.write(early)
                missing = int(head.partition(b"Content-Length: ")[2].split(b"\r")[0] or 0) - len(early)
                while missing > 0:
                    count = client.recv_into(buffer[: min(missing, len(buffer))])
                    hashed.update(buffer[:count])
                    out.write(buffer[:count])
                    missing -= count
            client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n" + hashed.hexdigest().encode())


@contextmanager
def _server(kind: str, directory: Path) -> Iterator[tuple[int, int]]:
    """Port and process id of a server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "benchmarks.protocols", "--serve", kind, "--dir", str(directory)]
        process = subprocess.Popen([*command, "--fd", str(listener.fileno())], pass_fds=[listener.fileno()])
    try:
        _request(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def _request(port: int, head: bytes, body: Path | None = None) -> bytes:
    """Send a request, its body from a file; read the response and drop all but its last bytes."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head)
        if body is not None:
            with body.open("rb") as file:
                client.sendfile(file)
        received = client.recv(65536)
        headers, _, start = received.partition(b"\r\n\r\n")
        length = int(headers.lower().partition(b"content-length: ")[2].split(b"\r")[0])
        missing, last, buffer = length - len(start), start, bytearray(1024 * 1024)
        while missing:
            count = client.recv_into(buffer)
            missing, last = missing - count, bytes(buffer[max(0, count - 64) : count])
        return last


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _prepare(directory: Path, size: int) -> bytes:
    """The file, its chunked form, and its digest."""
    hashed = hashlib.sha256()
    with (directory / "file").open("wb") as plain, (directory / "chunked").open("wb") as chunked:
        for _ in range(size // (32 * 1024)):
            block = os.urandom(32 * 1024)
            hashed.update(block)
            plain.write(block)
            chunked.write(b"8000\r\n" + block + b"\r\n")
        chunked.write(b"0\r\n\r\n")
    return hashed.hexdigest().encode()


def _measure(directory: Path, size: int, digest: bytes, rounds: int) -> None:
    put = b"PUT %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (_UPLOAD.encode(), size)
    patch = b"PATCH %b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % _UPLOAD.encode()
    get = b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n"
    work = {"PUT": (put, directory / "file"), "PATCH": (patch, directory / "chunked"), "GET": (get, None)}
    results: dict[tuple[str, str], list[tuple[float, float]]] = {}
    kinds = ("uvicorn", "messages", "ours", "bare")
    for _ in range(rounds):
        for kind in kinds:
            with _server(kind, directory) as (port, pid):
                for name, (head, body) in work.items():
                    if (kind, name) == ("bare", "PATCH"):
                        continue
                    cpu, begun = _cpu_seconds(pid), time.perf_counter()
                    last = _request(port, head, body)
                    seconds = time.perf_counter() - begun
                    if body is not None and last != digest:
                        raise SystemExit(f"{kind}: the upload did not arrive as it was sent")
                    cost = (_cpu_seconds(pid) - cpu) / (size / 1e9)
                    results.setdefault((name, kind), []).append((size / 1e6 / seconds, cost))
    print(f"{'':8}" + "".join(f"{kind:>22}" for kind in kinds))
    for name in work:
        cells = ""
        for kind in kinds:
            if columns := list(zip(*results.get((name, kind), []), strict=True)):
                speed, cost = map(statistics.median, columns)
                cells += f"{speed:8.0f} MB/s {cost:5.2f} s/GB".rjust(22)
        print(f"{name:8}{cells}")


def _measure_small(directory: Path, rounds: int) -> None:
    """Answers a second, and processor time for each: the latter says what a quiet machine would do."""
    results: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for kind in ("uvicorn", "ours"):
            with _server(kind, directory) as (port, pid):
                command = ["wrk", "-t1", "-c16", "-d4", f"http://127.0.0.1:{port}/"]
                cpu = _cpu_seconds(pid)
                output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                count = next(int(line.split()[0]) for line in output.splitlines() if "requests in" in line)
                results.setdefault(kind, []).append((count / 4, (_cpu_seconds(pid) - cpu) / count * 1e6))
    cells = []
    for kind in ("uvicorn", "ours"):
        speed, cost = (statistics.median(column) for column in zip(*results[kind], strict=True))
        cells.append(f"{speed:8.0f} /s {cost:6.1f} us")
    print(f"{'small':8}{cells[0]:>22}{'':22}{cells[1]:>22}")


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, help="where to write (a new directory in it); default: the temporary one")
    parser.add_argument("--size", type=int, default=512, help="MiB a transfer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        _serve(arguments.serve, arguments.dir, arguments.fd)
        return
    with tempfile.TemporaryDirectory(dir=arguments.dir) as name:
        directory, size = Path(name), arguments.size * 1024 * 1024
        _measure(directory, size, _prepare(directory, size), arguments.rounds)
        if shutil.which("wrk"):
            _measure_small(directory, arguments.rounds)


if __name__ == "__main__":
    main()
