"""What crossing a gap in a file costs: ours beside `tar` with `sha256sum` over the same bytes, and beside `skopeo sync`
from a registry into a directory and back.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.collecting import write, write_blob
from benchmarks.servers import Command, running

_IMAGES = 8
_LAYERS = 4
_NAME = "bench/app"


@dataclass
class Costs:
    """Seconds of each round, ours and the other's, by what was done; `size` in bytes; `peak_mib` of our processes."""

    size: int
    with_tar: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    with_skopeo: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    peak_mib: list[float] = field(default_factory=list)


def measure(serve: str, scratch: Path, rounds: int, size: int, *, skopeo: bool) -> Costs:
    """Make a bundle of images that have `size` bytes together, and load it into an empty storage, round after round."""
    root, place = scratch / "source", scratch / "crossing"
    costs = Costs(_write_images(root, size // (_IMAGES * _LAYERS)))
    images = [f"{_NAME}:v{number}" for number in range(_IMAGES)]
    bundle = f"{sys.executable} -m registry bundle"
    for _ in range(rounds):
        place.mkdir()
        create = _run(costs, f"{bundle} create --quiet --root {root} {' '.join(images)} -o {place}/out.tar")
        tar = _shell(f"tar -C {root} -cf {place}/plain.tar docker && sha256sum {place}/plain.tar")
        _keep(costs.with_tar, "create", create, tar)
        (place / "ours").mkdir()
        (place / "theirs").mkdir()
        load = _run(costs, f"{bundle} load --quiet --root {place}/ours {place}/out.tar")
        untar = _shell(f"sha256sum {place}/plain.tar && tar -C {place}/theirs -xf {place}/plain.tar")
        _keep(costs.with_tar, "load", load, untar)
        (place / "plain.tar").unlink()
        shutil.rmtree(place / "theirs")
        if skopeo:
            out, back = _sync(serve, root, place)
            _keep(costs.with_skopeo, "create", create, out)
            _keep(costs.with_skopeo, "load", load, back)
        shutil.rmtree(place)
    return costs


def _sync(serve: str, root: Path, place: Path) -> tuple[float, float]:
    """Seconds of `skopeo sync` from a registry over `root` into a directory, and from there into an empty registry."""
    options = "--all --src-tls-verify=false --dest-tls-verify=false"
    with running(Command("ours", serve), root) as registry:
        source = f"127.0.0.1:{registry.port}/{_NAME}"
        out = _shell(f"skopeo sync {options} --src docker --dest dir {source} {place}/dir")
    (place / "back").mkdir()
    with running(Command("ours", serve), place / "back") as registry:
        back = _shell(f"skopeo sync {options} --src dir --dest docker {place}/dir 127.0.0.1:{registry.port}/bench")
    return out, back


def _keep(costs: dict[str, tuple[list[float], list[float]]], name: str, ours: float, theirs: float) -> None:
    kept = costs.setdefault(name, ([], []))
    kept[0].append(ours)
    kept[1].append(theirs)


def _run(costs: Costs, command: str) -> float:
    began = time.monotonic()
    process = subprocess.Popen(command.split(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    costs.peak_mib.append(usage.ru_maxrss / 1024)
    return time.monotonic() - began


def _shell(command: str) -> float:
    began = time.monotonic()
    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def _write_images(root: Path, layer_size: int) -> int:
    """Images of layers that do not compress; returns the bytes of all of them."""
    top = root / f"docker/registry/v2/repositories/{_NAME}"
    total = 0
    for number in range(_IMAGES):
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}, "n": number}
        parts = []
        for kind in ("config.v1+json", *["layer.v1.tar"] * _LAYERS):  # one at a time: children count what we have held
            data = json.dumps(config).encode() if kind.startswith("config") else os.urandom(layer_size)
            digest = write_blob(root, data)
            write(top / f"_layers/{digest.replace(':', '/')}/link", digest)
            parts.append({"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest, "size": len(data)})
            total += len(data)
        document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
        manifest = write_blob(root, json.dumps({**document, "config": parts[0], "layers": parts[1:]}).encode())
        write(top / f"_manifests/revisions/{manifest.replace(':', '/')}/link", manifest)
        write(top / f"_manifests/tags/v{number}/current/link", manifest)
        write(top / f"_manifests/tags/v{number}/index/{manifest.replace(':', '/')}/link", manifest)
    return total
