"""What is measured, row by row. Each measurement is one figure of one registry; rounds and ratios are `__main__`'s."""

import functools
import hashlib
import json
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from benchmarks.client import Blob, Connection, Unexpected, at_once, push_image, requests_per_second
from benchmarks.servers import Registry

_REPOSITORY = "bench/app"
_PAGE_TRIES = 15
_IDLE_CONNECTIONS = 200


@dataclass
class Subject:
    """A running registry with what has been pushed to it."""

    registry: Registry
    root: Path
    big_bytes: int
    seconds: float
    pushed: dict[str, Blob] = field(default_factory=dict)
    small: Blob = field(default_factory=lambda: Blob(4096))
    manifest: str = ""

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.registry.port

    def prepare(self) -> None:
        """Push the small image that the request rows ask for, and the blob that the pull rows do."""
        if not self.manifest:
            self.manifest = push_image(self.port, _REPOSITORY, "latest", self.small)
            self.pushed["big"] = Blob(self.big_bytes)
            connection = Connection(self.port)
            connection.push_put(_REPOSITORY, self.pushed["big"])
            connection.pull(self.blob_path("big"), self.pushed["big"].digest)
            connection.close()

    def blob_path(self, name: str) -> str:
        """The path of a blob that was pushed."""
        return f"/v2/{_REPOSITORY}/blobs/{self.pushed[name].digest}"


@dataclass(frozen=True)
class Figure:
    """One measured value: throughput or time, and processor time for each GB where bytes were moved."""

    value: float
    cpu_per_gb: float | None = None


@dataclass(frozen=True)
class Row:
    """A measurement, and the ratio (ours to the peer's) that we mean to reach."""

    name: str
    unit: str
    measure: Callable[[Subject], Figure]
    more_is_better: bool = True
    target: float | None = None
    cpu_target: float | None = None


def _moved(subject: Subject, size: int, work: Callable[[], object]) -> Figure:
    cpu = subject.registry.cpu_seconds()
    started = time.perf_counter()
    work()
    elapsed = time.perf_counter() - started
    return Figure(size / elapsed / 1e6, (subject.registry.cpu_seconds() - cpu) / (size / 1e9))


def _push(subject: Subject, push: Callable[[Connection, str, Blob], None], *, framed: bool) -> Figure:
    blob = Blob(subject.big_bytes)
    _ = blob.framed if framed else blob.data, blob.digest  # made before the clock runs
    connection = Connection(subject.port)
    figure = _moved(subject, blob.size, lambda: push(connection, _REPOSITORY, blob))
    connection.close()
    return figure


def _push_put(subject: Subject) -> Figure:
    return _push(subject, Connection.push_put, framed=False)


def _push_patch(subject: Subject) -> Figure:
    return _push(subject, Connection.push_patch, framed=True)


def _pull(subject: Subject) -> Figure:
    subject.prepare()
    connection = Connection(subject.port)
    figure = _moved(subject, subject.big_bytes, lambda: connection.pull(subject.blob_path("big")))
    connection.close()
    return figure


def _pulls_at_once(subject: Subject) -> Figure:
    subject.prepare()
    connections = [Connection(subject.port) for _ in range(8)]
    path = subject.blob_path("big")
    figure = _moved(subject, 8 * subject.big_bytes, lambda: at_once(8, lambda number: connections[number].pull(path)))
    for connection in connections:
        connection.close()
    return figure


def _pushes_at_once(subject: Subject) -> Figure:
    blobs = [Blob(subject.big_bytes // 4) for _ in range(8)]
    connections = [Connection(subject.port) for _ in range(8)]
    for blob in blobs:
        _ = blob.digest

    def push(number: int) -> None:
        connections[number].push_put(_REPOSITORY, blobs[number])

    figure = _moved(subject, sum(blob.size for blob in blobs), lambda: at_once(8, push))
    for connection in connections:
        connection.close()
    return figure


def _requests(method: str, path: Callable[[Subject], str]) -> Callable[[Subject], Figure]:
    def measure(subject: Subject) -> Figure:
        subject.prepare()
        return Figure(requests_per_second(subject.port, method, path(subject), connections=16, seconds=subject.seconds))

    return measure


def _small_pushes(connections: int) -> Callable[[Subject], Figure]:
    def measure(subject: Subject) -> Figure:
        each = max(int(120 * subject.seconds) // connections, 4)
        blobs = [[Blob(4096) for _ in range(each)] for _ in range(connections)]
        for blob in (blob for several in blobs for blob in several):
            _ = blob.digest

        def push(number: int) -> None:
            connection = Connection(subject.port)
            for blob in blobs[number]:
                connection.push_put(_REPOSITORY, blob)
            connection.close()

        return Figure(each * connections / at_once(connections, push))

    return measure


def page(subject: Subject, path: str, key: str, expected: list[str]) -> Figure:
    """The median time of one page of a list, in milliseconds; the first answer is checked, and counts."""
    connection = Connection(subject.port)
    times = []
    for _ in range(_PAGE_TRIES):
        started = time.perf_counter()
        names = json.loads(connection.body(path))[key]
        times.append((time.perf_counter() - started) * 1000)
        # older peers neither sort nor page; they are given the time that their whole list takes
        if names != expected and subject.registry.name == "ours":
            raise Unexpected(f"GET {path}: {names[:3]}… instead of {expected[:3]}…")
    connection.close()
    return Figure(statistics.median(times))


def list_rows(names: list[str], path: str, key: str, label: str) -> list[Row]:
    """Rows for a page of 100 at the start and in the middle of a long list."""
    middle = len(names) // 2
    starts = {"start": ("", names[:100]), "middle": (f"&last={quote(names[middle])}", names[middle + 1 : middle + 101])}
    return [
        Row(
            f"{label}, {place}",
            "ms",
            functools.partial(page, path=f"{path}?n=100{last}", key=key, expected=expected),
            more_is_better=False,
            target=1.0,
        )
        for place, (last, expected) in starts.items()
    ]


def idle_memory(subject: Subject) -> Figure:
    """MiB of own memory with 200 connections at once, half of them pushing and half pulling, all of them slow."""
    subject.prepare()
    opened: list[Connection] = []
    stop = threading.Event()
    for number in range(_IDLE_CONNECTIONS):
        connection = Connection(subject.port)
        opened.append(connection)
        if number % 4 == 0:
            where = connection.begin(_REPOSITORY).rstrip("?&")
            connection.socket.sendall(
                f"PATCH {where} HTTP/1.1\r\nHost: bench\r\nContent-Length: 1000000000\r\n\r\n".encode() + b"x" * 65536
            )
        else:
            connection.socket.sendall(f"GET {subject.blob_path('big')} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
    stop.wait(2)  # the server has had what it needs to come to rest
    figure = Figure(subject.registry.peak_mib())
    for connection in opened:
        connection.close()
    return figure


def huge_push_memory(subject: Subject) -> Figure:
    """Peak memory in MiB after a push of a 10 GiB layer."""
    piece = Blob(1 << 20)
    count = 10 * 1024
    hasher = hashlib.sha256()
    for _ in range(count):
        hasher.update(piece.data)
    connection = Connection(subject.port)
    where = connection.begin(_REPOSITORY)
    target = f"{where}digest=sha256:{hasher.hexdigest()}"
    head = f"PUT {target} HTTP/1.1\r\nHost: bench\r\nContent-Length: {count << 20}\r\n\r\n"
    connection.socket.sendall(head.encode())
    for _ in range(count):
        connection.socket.sendall(piece.data)
    if not connection.socket.recv(65536).startswith(b"HTTP/1.1 201"):
        raise Unexpected("the 10 GiB push failed")
    connection.close()
    return Figure(subject.registry.peak_mib())


ROWS = [
    Row("push POST+PUT", "MB/s", _push_put, target=1.6),
    Row("push POST+PATCH+PUT", "MB/s", _push_patch, target=2.0),
    Row("pull", "MB/s", _pull, target=1.4, cpu_target=0.4),
    Row("8 pulls at once", "MB/s", _pulls_at_once),
    Row("8 pushes at once", "MB/s", _pushes_at_once),
    Row("manifest GET by tag", "1/s", _requests("GET", lambda _: f"/v2/{_REPOSITORY}/manifests/latest"), target=1.5),
    Row(
        "manifest GET by digest",
        "1/s",
        _requests("GET", lambda s: f"/v2/{_REPOSITORY}/manifests/{s.manifest}"),
        target=1.5,
    ),
    Row("HEAD blob", "1/s", _requests("HEAD", lambda s: f"/v2/{_REPOSITORY}/blobs/{s.small.digest}"), target=1.2),
    Row(
        "GET blob of 4 KiB", "1/s", _requests("GET", lambda s: f"/v2/{_REPOSITORY}/blobs/{s.small.digest}"), target=4.0
    ),
    Row("push of 4 KiB, 1 connection", "1/s", _small_pushes(1), target=2.0),
    Row("push of 4 KiB, 16 connections", "1/s", _small_pushes(16), target=2.0),
]
