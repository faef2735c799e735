"""Runs versitygw, an S3 server over a directory, on the loopback. Knows how to start, find ready, kill and stop it."""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.live_server import ReservedPort
from tests.programs import need

_START_SECONDS = 20.0
_POLL_SECONDS = 0.02


class Gateway:
    """An S3 server with its data below `directory`; it may be killed and started again."""

    def __init__(self, directory: Path, port: int) -> None:
        self.port = port
        self.access_key = "tester"
        self.secret_key = secrets.token_hex(16)
        self._program = need("versitygw")
        self._data = directory / "data"
        self._data.mkdir()
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._program,
                    "--port",
                    f"127.0.0.1:{self.port}",
                    "--quiet",
                    "--keep-alive",
                    "posix",
                    str(self._data),
                ],
                env={**os.environ, "ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"versitygw does not answer:\n{self._log.read_text()[-2000:]}")
            time.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def file(self, bucket: str, key: str) -> Path:
        """Where the bytes of an object lie."""
        return self._data / bucket / key

    def client(self, endpoint: str = "") -> Any:
        """A client of boto3, by way of `endpoint`, or straight."""
        return boto3.client(
            "s3",
            endpoint_url=endpoint or f"http://127.0.0.1:{self.port}",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def create_bucket(self) -> str:
        """Make an empty bucket; return its name."""
        name = f"bucket-{secrets.token_hex(8)}"
        self.client().create_bucket(Bucket=name)
        return name

    def directory_of(self, bucket: str) -> Path:
        """Where the objects of a bucket lie as files, for tests that need more of them than they want to send."""
        return self._data / bucket

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


@contextmanager
def running_gateway(directory: Path) -> Iterator[Gateway]:
    """A running server; killed at the end."""
    port = ReservedPort()
    try:
        gateway = Gateway(directory, port.number)
        gateway.start()
        try:
            yield gateway
        finally:
            gateway.kill()
    finally:
        port.close()
