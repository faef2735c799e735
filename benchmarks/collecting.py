"""What garbage collection costs: ours, which runs while people push, and the peer's, which must not."""

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.client import Blob, Connection
from benchmarks.servers import Command, running

_REPOSITORIES = 100
_AT_WORK_SECONDS = 1.5
"""A collection begins so long after its process."""
_PEER_CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
"""


@dataclass
class Costs:
    """Seconds and MiB of each run, by who ran."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, list[float]] = field(default_factory=dict)


def measure(peer: str, scratch: Path, rounds: int, manifests: int) -> Costs:
    """Collect in copies of one tree: `manifests` images of four blobs each, and half as many blobs that nobody needs.

    `peer` is the program of another registry that knows `garbage-collect CONFIG`; empty for none.
    """
    tree = scratch / "tree"
    gone = _write_tree(tree, manifests)
    costs = Costs()
    for _ in range(rounds):
        commands = {"ours": f"{sys.executable} -m registry gc --grace 0 --quiet --root {{root}}"}
        if peer:
            commands["peer"] = f"{peer} garbage-collect {{config}}"
        for name, command in commands.items():
            root, config = scratch / "copy", scratch / "config.yml"
            subprocess.run(["cp", "-al", tree, root], check=True)  # links are enough: nothing is changed, only removed
            config.write_text(_PEER_CONFIG.format(root=root))
            seconds, memory = _run(command.format(root=root, config=config))
            left = sum(1 for _ in root.glob("docker/registry/v2/blobs/sha256/*/*/data"))
            if left != 5 * manifests:
                raise RuntimeError(f"{name} has left {left} blobs of {5 * manifests + gone}, not {5 * manifests}")
            costs.seconds.setdefault(name, []).append(seconds)
            costs.memory.setdefault(name, []).append(memory)
            shutil.rmtree(root)
    return costs


def pulls_meanwhile(
    ours: str, scratch: Path, rounds: int, manifests: int, *, size: int, seconds: float
) -> tuple[list[float], list[float]]:
    """MB/s of pulls of a blob of `size` bytes while garbage is collected as a server does by itself, and while not."""
    root = scratch / "served"
    _write_tree(root, manifests)
    collecting = (
        f"while :; do nice -n 19 {sys.executable} -m registry gc --dry-run --quiet --share 0.25 --root {root}; done"
    )
    meanwhile, alone = [], []
    with running(Command("ours", ours), root) as registry:
        blob, connection = Blob(size), Connection(registry.port)
        connection.push_put("bench", blob)
        path = f"/v2/bench/blobs/{blob.digest}"
        connection.pull(path)
        for _ in range(rounds):
            alone.append(_rate(connection, path, seconds))
            collector = subprocess.Popen(["sh", "-c", collecting], stdout=subprocess.DEVNULL, start_new_session=True)
            try:
                time.sleep(_AT_WORK_SECONDS)
                meanwhile.append(_rate(connection, path, seconds))
            finally:
                os.killpg(collector.pid, signal.SIGKILL)
                collector.wait()
        connection.close()
    return meanwhile, alone


def _rate(connection: Connection, path: str, seconds: float) -> float:
    began, moved = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        moved += connection.pull(path)
    return moved / (time.monotonic() - began) / 1e6


def _run(command: str) -> tuple[float, float]:
    began = time.monotonic()
    with open(os.devnull, "wb") as nothing:
        process = subprocess.Popen(shlex.split(command), stdout=nothing)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return time.monotonic() - began, usage.ru_maxrss / 1024


def _write_tree(root: Path, manifests: int) -> int:
    for number in range(manifests):
        top = root / f"docker/registry/v2/repositories/team-{number % _REPOSITORIES:03d}/app"
        blobs = [write_blob(root, f"{number} {part}".encode()) for part in range(4)]
        config, *layers = [{"mediaType": "x/y", "digest": digest, "size": 7} for digest in blobs]
        document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
        digest = write_blob(root, json.dumps({**document, "config": config, "layers": layers}).encode())
        for blob in blobs:
            write(top / f"_layers/{blob.replace(':', '/')}/link", blob)
        write(top / f"_manifests/revisions/{digest.replace(':', '/')}/link", digest)
        write(top / f"_manifests/tags/v{number}/current/link", digest)
        write(top / f"_manifests/tags/v{number}/index/{digest.replace(':', '/')}/link", digest)
    for number in range(manifests // 2):
        write_blob(root, f"nobody needs {number}".encode())
    return manifests // 2


def write_blob(root: Path, data: bytes) -> str:
    """Put a blob where distribution keeps it; returns its digest."""
    encoded = hashlib.sha256(data).hexdigest()
    path = root / f"docker/registry/v2/blobs/sha256/{encoded[:2]}/{encoded}/data"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return f"sha256:{encoded}"


def write(path: Path, text: str) -> None:
    """Put a small file into a tree."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
