"""What it costs to pull through us: a blob from a registry elsewhere, and through a server of ours that mirrors it, for
the first time and again.

The first time is measured over a line of a Gigabit a second, which nginx plays, and without any, where the registry
over there, ours and the client share this machine's processors. Again is compared with what was pushed to us.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.client import Blob, Connection, push_image, requests_per_second
from benchmarks.servers import Command, free_port, running, wait

LINE = 117_000_000
"""Bytes a second that a Gigabit line carries of TCP's payload."""
_REPOSITORY = "bench/app"
_SETTINGS = """mirror:
  tag_ttl_seconds: 1h
  signatures: false
  sources:
    - {{prefix: near, upstream: "127.0.0.1:{near}"}}
    - {{prefix: far, upstream: "127.0.0.1:{far}"}}
"""
_NGINX = """daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_max_temp_file_size 0;
            limit_rate {rate};
        }}
    }}
}}
"""

Pair = tuple[list[float], list[float]]


def measure(commands: tuple[str, str], scratch: Path, rounds: int, size: int, seconds: float) -> Mapping[str, Pair]:
    """Rates through us and of what they are compared with, round by round: MB/s, and requests a second. `commands`
    start ours, and the registry over there.
    """
    ours, upstream = commands
    found: dict[str, Pair] = {}
    with (
        running(Command("upstream", upstream), Path(tempfile.mkdtemp(dir=scratch))) as there,
        _line(there.port, scratch) as far,
    ):
        settings = scratch / "mirror.yml"
        settings.write_text(_SETTINGS.format(near=there.port, far=far or there.port))
        command = Command("ours", f"env CARGOHOLD_CONFIG={settings} {ours}")
        with running(command, Path(tempfile.mkdtemp(dir=scratch))) as here:
            for label, prefix, port in (("1 Gbit/s", "far", far), ("no line", "near", there.port)):
                if port:
                    found[f"mirror: cold pull, {label}"] = _cold(port, (here.port, prefix), there.port, rounds, size)
            found["mirror: warm pull"] = _warm(here.port, there.port, rounds, size)
            found["mirror: manifest GET by tag"] = _manifests(here.port, there.port, rounds, seconds)
    return found


def _cold(direct: int, through: tuple[int, str], there: int, rounds: int, size: int) -> Pair:
    """A fresh blob each time, pulled from the port `direct`, and from a port of ours below a prefix."""
    here, prefix = through
    figures: Pair = ([], [])
    for _ in range(rounds):
        blob = _pushed(there, size)
        figures[1].append(_rate(direct, f"/v2/{_REPOSITORY}/blobs/{blob.digest}", size))
        figures[0].append(_rate(here, f"/v2/{prefix}/{_REPOSITORY}/blobs/{blob.digest}", size))
    return figures


def _warm(here: int, there: int, rounds: int, size: int) -> Pair:
    figures: Pair = ([], [])
    fetched, own = _pushed(there, size), _pushed(here, size)
    paths = (f"/v2/near/{_REPOSITORY}/blobs/{fetched.digest}", f"/v2/{_REPOSITORY}/blobs/{own.digest}")
    for path in paths:
        _rate(here, path, size)
    for _ in range(rounds):
        for number, path in enumerate(paths):
            figures[number].append(_rate(here, path, size))
    return figures


def _manifests(here: int, there: int, rounds: int, seconds: float) -> Pair:
    figures: Pair = ([], [])
    for port in (here, there):
        push_image(port, _REPOSITORY, "latest", Blob(4096))
    for _ in range(rounds):
        for number, name in enumerate((f"near/{_REPOSITORY}", _REPOSITORY)):
            path = f"/v2/{name}/manifests/latest"
            figures[number].append(requests_per_second(here, "GET", path, connections=16, seconds=seconds))
    return figures


def _pushed(port: int, size: int) -> Blob:
    blob, client = Blob(size), Connection(port)
    client.push_put(_REPOSITORY, blob)
    client.close()
    return blob


def _rate(port: int, path: str, size: int) -> float:
    client, began = Connection(port), time.perf_counter()
    client.pull(path)
    client.close()
    return size / (time.perf_counter() - began) / 1e6


@contextmanager
def _line(upstream: int, scratch: Path) -> Iterator[int]:
    """The port of a slow line to a registry; 0 without nginx."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if nginx is None:
        yield 0
        return
    port, directory = free_port(), Path(tempfile.mkdtemp(dir=scratch))
    configuration = directory / "nginx.conf"
    configuration.write_text(_NGINX.format(directory=directory, port=port, upstream=upstream, rate=LINE))
    log = directory / "nginx.log"
    process = subprocess.Popen([nginx, "-e", log, "-p", directory, "-c", configuration])
    try:
        wait(port, process, log)
        yield port
    finally:
        process.terminate()
        process.wait()
