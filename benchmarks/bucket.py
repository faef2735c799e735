"""What a registry costs in front of a bucket: our server over an S3 server, beside boto3 that talks to it itself.

boto3 is used as people use it, by its transfer manager, with the size of parts that we have. Pulls go through our
server, none is redirected.
"""

import hashlib
import io
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from benchmarks.client import Blob, Connection, at_once
from benchmarks.servers import Command, running

_KEYS = ("benchmark", "benchmark-secret")
_REPOSITORY = "bench/bucket"
_MIB = 1024 * 1024
_PARTS = TransferConfig(multipart_threshold=8 * _MIB, multipart_chunksize=8 * _MIB, max_concurrency=6)
_DEADLINE_SECONDS = 20.0

Pair = tuple[list[float], list[float]]


@dataclass(frozen=True)
class Measured:
    """MB/s of ours and of boto3, round by round; and the most memory of our worker in MiB."""

    rates: Mapping[str, Pair]
    peak_mib: float


class _Sink(io.RawIOBase):
    """Takes everything, keeps nothing."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data)


def measure(ours: str, gateway: str, scratch: Path, rounds: int, size: int) -> Measured:
    """Push and pull blobs of `size` bytes; then push eight at once, and look at the memory."""
    with _gateway(gateway, Path(tempfile.mkdtemp(dir=scratch))) as endpoint:
        client = _client(endpoint)
        client.create_bucket(Bucket="bench")
        settings = {
            "BUCKET": "bench",
            "ENDPOINT": endpoint,
            "ADDRESSING": "path",
            "ACCESS_KEY_ID": _KEYS[0],
            "SECRET_ACCESS_KEY": _KEYS[1],
        }
        words = " ".join(f"CARGOHOLD_STORAGE__S3__{name}={value}" for name, value in settings.items())
        with running(Command("ours", f"env {words} {ours}"), Path(tempfile.mkdtemp(dir=scratch))) as registry:
            rates = _rates(registry.port, client, rounds, size)
            _eight_pushes(registry.port, size)
            return Measured(rates, registry.peak_mib())


def _rates(port: int, client: Any, rounds: int, size: int) -> Mapping[str, Pair]:
    push: Pair = ([], [])
    patch: Pair = ([], [])
    pull: Pair = ([], [])
    for number in range(rounds):
        blob, other = Blob(size), Blob(size)
        _ = (blob.digest, other.digest, other.framed)  # made before the clock runs
        connection = Connection(port)
        key = f"plain-{number}"
        push[0].append(_rate(size, lambda: connection.push_put(_REPOSITORY, blob)))  # noqa: B023  # called at once
        push[1].append(_rate(size, lambda: client.upload_fileobj(io.BytesIO(blob.data), "bench", key, Config=_PARTS)))  # noqa: B023
        patch[0].append(_rate(size, lambda: connection.push_patch(_REPOSITORY, other)))  # noqa: B023
        path = f"/v2/{_REPOSITORY}/blobs/{blob.digest}"
        pull[0].append(_rate(size, lambda: connection.pull(path)))  # noqa: B023
        pull[1].append(_rate(size, lambda: client.download_fileobj("bench", key, _Sink(), Config=_PARTS)))  # noqa: B023
        connection.close()
    return {"bucket: push POST+PUT": push, "bucket: push POST+PATCH+PUT": (patch[0], push[1]), "bucket: pull": pull}


def _rate(size: int, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return size / (time.perf_counter() - started) / 1e6


def _eight_pushes(port: int, size: int) -> None:
    """Eight blobs of four times `size` at once, sent piece by piece: our own memory is not what is measured."""
    piece = os.urandom(_MIB)
    count = 4 * size // _MIB

    def push(number: int) -> None:
        first = bytes([number]) * _MIB
        hasher = hashlib.sha256(first)
        for _ in range(count):
            hasher.update(piece)
        connection = Connection(port)
        where = connection.begin(_REPOSITORY)
        length = (count + 1) * _MIB
        head = (
            f"PUT {where}digest=sha256:{hasher.hexdigest()} HTTP/1.1\r\nHost: bench\r\nContent-Length: {length}\r\n\r\n"
        )
        connection.socket.sendall(head.encode() + first)
        for _ in range(count):
            connection.socket.sendall(piece)
        if not connection.socket.recv(65536).startswith(b"HTTP/1.1 201"):
            raise SystemExit("a push to the bucket failed")
        connection.close()

    at_once(8, push)


def _client(endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=_KEYS[0],
        aws_secret_access_key=_KEYS[1],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=16),
    )


@contextmanager
def _gateway(command: str, root: Path) -> Iterator[str]:
    """An S3 server over `root`; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    words = command.format(port=port, root=root).split()
    keys = {"ROOT_ACCESS_KEY": _KEYS[0], "ROOT_SECRET_KEY": _KEYS[1]}
    with Path(root.parent, "gateway.log").open("wb") as log:
        process = subprocess.Popen(words, env={**os.environ, **keys}, stdout=log, stderr=log)
    try:
        deadline = time.perf_counter() + _DEADLINE_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionError:
                if process.poll() is not None or time.perf_counter() > deadline:
                    raise SystemExit(f"{command!r} does not start") from None
                time.sleep(0.01)  # a poll of something outside this process
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(root, ignore_errors=True)
