"""Registries under test: started on a free port over a root of their own, measured from outside through /proc."""

import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_DEADLINE_SECONDS = 60.0
_DISTRIBUTION_CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@dataclass(frozen=True)
class Command:
    """How to start a registry: words with {port}, {root} and {config} (a file that distribution reads) to fill in."""

    name: str
    text: str


@dataclass
class Registry:
    """A running registry; `pid` is 0 for one that somebody else has started."""

    name: str
    port: int
    pid: int
    ready_seconds: float

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        total = 0.0
        for pid in self._pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / _TICKS
        return total

    def peak_mib(self) -> float:
        """The most memory that each of its processes ever had resident, added up, in MiB."""
        total = 0
        for pid in self._pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1])
        return total / 1024

    def _pids(self) -> list[int]:
        if not self.pid:
            return []
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except (FileNotFoundError, ProcessLookupError):
                    continue
                children.setdefault(parent, []).append(int(entry.name))
        found, waiting = [], [self.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += children.get(pid, [])
        return found


@contextmanager
def running(command: Command, root: Path) -> Iterator[Registry]:
    """Start a registry over `root`; it is ready when this yields, and gone afterwards."""
    port = free_port()
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch, "config.yml")
        config.write_text(_DISTRIBUTION_CONFIG.format(root=root, port=port))
        words = shlex.split(command.text.format(port=port, root=root, config=config))
        started = time.perf_counter()
        with Path(scratch, "log").open("wb") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log, cwd=scratch)
            try:
                ready = wait(port, process, Path(scratch, "log")) - started
                yield Registry(command.name, port, process.pid, ready)
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait(port: int, process: subprocess.Popen[bytes], log: Path) -> float:
    """Return when a registry answers: the time then. Raises `SystemExit` with its log if it ends."""
    deadline = time.perf_counter() + _DEADLINE_SECONDS
    while time.perf_counter() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as probe:
                probe.sendall(b"GET /v2/ HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                if probe.recv(64).startswith((b"HTTP/1.1 200", b"HTTP/1.1 401")):  # 401: it asks for a login
                    return time.perf_counter()
        except ConnectionError:
            pass
        time.sleep(0.005)  # a poll of something outside this process
    raise SystemExit(f"{process.args!r} does not answer:\n{log.read_text()[-2000:]}")
