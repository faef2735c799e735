"""Debian's docker-registry (distribution 2.8) over a directory: the registry whose layout ours is."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.clients.registry_view import RegistryView
from tests.live_server import ReservedPort
from tests.programs import need

_CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
_DEADLINE_SECONDS = 15


@contextmanager
def old_registry(root: Path, scratch: Path) -> Iterator[RegistryView]:
    """Run it over `root`; yields a view of it. It is gone afterwards."""
    port = ReservedPort()
    scratch.mkdir(parents=True, exist_ok=True)
    config = scratch / "config.yml"
    config.write_text(_CONFIG.format(root=root, port=port.number))
    with (scratch / "log").open("wb") as log:
        process = subprocess.Popen([need("docker-registry"), "serve", config], stdout=log, stderr=log)
    view = RegistryView(f"127.0.0.1:{port.number}")
    try:
        _wait(view, process)
        yield view
    finally:
        view.close()
        process.terminate()
        process.wait(10)
        port.close()


def _wait(view: RegistryView, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            view.http.get("/v2/").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.02)  # between two questions to another process
        else:
            return
    raise RuntimeError("docker-registry does not answer")
