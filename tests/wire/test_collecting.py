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


def test_a_server_keeps_to_enabled_policies_and_tells_of_the_others(tmp_path: Path) -> None:
    policies = """
retention:
  interval_seconds: 300ms
  policies:
    - {name: pull-requests, repositories: team/*, enabled: true, expire: [{tags: "pr-*", after: 10ms}]}
    - {name: idle, repositories: "**", expire: [{tags: "pr-*", after: 10ms}]}
"""
    config = tmp_path / "cargohold.yml"
    config.write_text(policies)
    arguments = ["--workers", "2", "--config", str(config)]
    with live_server(tmp_path, arguments=arguments, environment=_SOON) as server:
        team, other = (Repository(Wire(server.url), name) for name in ("team/app", "other"))
        for repository in (team, other):
            repository.push("v1", random_image(seed=1))
            repository.push("pr-1", random_image(seed=2))

        _wait(lambda: team.call("HEAD", "manifests/pr-1").status == 404, server)

        team.assert_holds("v1", random_image(seed=1))
        other.assert_holds("pr-1", random_image(seed=2))
        _wait(lambda: "retention removed 1 tags and 1 images" in server.tail(), server)
        _wait(lambda: "policy idle is not enabled; it would remove 1 tags" in server.tail(), server)
        assert server.stop() == 0
        assert "Traceback" not in server.tail()
