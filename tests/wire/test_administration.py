"""`/admin/gc`: whoever administers the registry begins a collection, and sees how far it is and what came of it."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.guarded import AUTH, PASSWORDS, guarded
from tests.images import random_bytes, random_image
from tests.live_server import LiveServer, live_server
from tests.wire.repository import Repository
from tests.wire.wire import Reply, Wire

_SECONDS = 60.0
_NEVER = {"CARGOHOLD_CLEANUP__INTERVAL_SECONDS": "0", "CARGOHOLD_CLEANUP__GRACE_SECONDS": "0"}
_RULES = """
access:
  rules:
    - {who: user:alice, repositories: "**", actions: [admin]}
    - {who: user:bob, repositories: "bob/**", actions: [admin]}
"""


def _status(wire: Wire) -> dict[str, object]:
    found: dict[str, object] = json.loads(wire.call("GET", "/admin/gc").body)
    return found


def _wait(until: Callable[[], bool], server: LiveServer) -> None:
    deadline = time.monotonic() + _SECONDS
    while not until():
        assert time.monotonic() < deadline, server.tail()
        time.sleep(0.05)


def _codes(reply: Reply) -> tuple[int, list[str]]:
    return reply.status, reply.codes


def test_a_collection_that_is_asked_for_is_done_and_told_of(tmp_path: Path) -> None:
    kept, gone = random_image(seed=1), random_bytes(5000, seed=2)
    with live_server(tmp_path, arguments=["--workers", "2"], environment=_NEVER) as server:
        wire = Wire(server.url)
        repository = Repository(wire, "team/app")
        repository.push("latest", kept)
        digest = repository.push_blob(gone)
        assert _status(wire) == {"state": "idle", "collector": None, "last": None}

        begun = wire.call("POST", "/admin/gc")
        assert begun.status == 202
        assert json.loads(begun.body)["state"] == "starting"

        _wait(lambda: _status(wire)["last"] is not None, server)
        last = _status(wire)["last"]
        assert isinstance(last, dict)
        assert last["ended"] > time.time() - _SECONDS
        assert (last["outcome"]["stage"], last["outcome"]["removed_blobs"], last["outcome"]["freed"]) == (
            "done",
            1,
            5000,
        )
        assert repository.call("HEAD", f"blobs/{digest}").status == 404
        repository.assert_holds("latest", kept)


def test_while_one_runs_another_is_not_begun(tmp_path: Path) -> None:
    with live_server(tmp_path, environment=_NEVER) as server:
        wire = Wire(server.url)
        collector = server.root / "cargohold/v1/gc/collector"
        collector.parent.mkdir(parents=True, exist_ok=True)
        collector.write_text(json.dumps(["process 7 on example", True, 1700000000.0, 3, "", {"manifests": 12}]))

        refused = wire.call("POST", "/admin/gc")
        status = _status(wire)

        assert _codes(refused) == (409, ["DENIED"])
        assert b"by process 7 on example" in refused.body
        assert status["state"] == "running"
        progress = {"manifests": 12}
        assert status["collector"] == {"holder": "process 7 on example", "began": 1700000000.0, "progress": progress}


def test_other_methods_and_paths_are_refused(tmp_path: Path) -> None:
    with live_server(tmp_path, environment=_NEVER) as server:
        wire = Wire(server.url)

        assert _codes(wire.call("DELETE", "/admin/gc")) == (405, ["UNSUPPORTED"])
        for path in ("/admin/", "/admin/gc/", "/admin/gc/x", "/admin/%67c", "/admin/../v2/"):
            assert wire.call("POST", path).status == 404
        assert wire.call("HEAD", "/admin/gc").status == 200


def test_only_who_administers_everything_may(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    with guarded(tmp_path, AUTH + _RULES + f"log: {{audit: {log}}}\n") as closed:
        url = f"{closed.server.url}/admin/gc"
        anonymous = httpx.post(url, trust_env=False)
        refused = httpx.post(url, auth=("bob", PASSWORDS["bob"]), trust_env=False)
        begun = httpx.post(url, auth=("alice", PASSWORDS["alice"]), trust_env=False)
        seen = httpx.get(url, auth=("alice", PASSWORDS["alice"]), trust_env=False)
        closed.server.stop()
    entries = [json.loads(line) for line in log.read_text().splitlines()]

    assert anonymous.status_code == 401
    assert anonymous.headers["www-authenticate"].startswith("Basic realm=")
    assert (refused.status_code, begun.status_code, seen.status_code) == (403, 202, 200)
    assert [(one["action"], one["outcome"], one["user"]) for one in entries] == [
        ("collect", "refused", "bob"),
        ("collect", "ok", "alice"),
    ]
