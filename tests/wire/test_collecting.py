"""A server that collects garbage by itself, beside its own work."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.images import random_bytes, random_image
from tests.live_server import LiveServer, live_server
from tests.wire.repository import Repository, digest_of
from tests.wire.wire import Wire

_SECONDS = 30.0
_SOON = {
    "CARGOHOLD_CLEANUP__INTERVAL_SECONDS": "300ms",
    "CARGOHOLD_CLEANUP__GRACE_SECONDS": "0",
    "CARGOHOLD_CLEANUP__SHARE": "1",
}


def _wait(until: Callable[[], bool], server: LiveServer) -> None:
    deadline = time.monotonic() + _SECONDS
    while not until():
        assert time.monotonic() < deadline, server.tail()
        time.sleep(0.05)


def test_a_server_removes_by_itself_what_nobody_needs(tmp_path: Path) -> None:
    kept, gone = random_image(seed=1), random_bytes(5000, seed=2)
    with live_server(tmp_path, arguments=["--workers", "2"], environment=_SOON) as server:
        repository = Repository(Wire(server.url), "team/app")
        repository.push("latest", kept)
        digest = repository.push_blob(gone)
        bytes_of = server.root / f"docker/registry/v2/blobs/sha256/{digest[7:9]}/{digest[7:]}/data"

        _wait(lambda: not bytes_of.exists(), server)

        assert repository.call("HEAD", f"blobs/{digest_of(gone)}").status == 404
        repository.assert_holds("latest", kept)
        _wait(lambda: "garbage collection removed 1 blobs with 5000 bytes, 1 links" in server.tail(), server)
        assert server.stop() == 0
        assert "Traceback" not in server.tail()


def test_a_server_does_not_collect_what_it_was_told_to_leave(tmp_path: Path) -> None:
    environment = {**_SOON, "CARGOHOLD_CLEANUP__INTERVAL_SECONDS": "0"}
    with live_server(tmp_path, environment=environment) as server:
        repository = Repository(Wire(server.url), "team/app")
        digest = repository.push_blob(random_bytes(5000, seed=2))
        assert repository.call("HEAD", f"blobs/{digest}").status == 200
        assert not (server.root / "cargohold/v1/gc/collector").exists()
