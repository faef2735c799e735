"""Counts of a running server: of all its workers, and for nobody who may not read them."""

import os
import re
import signal
from pathlib import Path

import httpx

from tests.live_server import LiveServer, live_server

READABLE = {"CARGOHOLD_METRICS__NETWORKS": "127.0.0.1"}


def manifest_requests(server: LiveServer) -> float:
    """How many manifests have been asked for in vain."""
    text = httpx.get(f"{server.url}/metrics", trust_env=False).text
    found = re.search(
        r'^cargohold_requests_total{kind="manifests",method="GET",status="404"} (\S+)$', text, re.MULTILINE
    )
    return float(found[1]) if found else 0.0


def ask(server: LiveServer, times: int) -> None:
    """Ask for manifests that are not there, over a new connection each time."""
    for _ in range(times):
        assert httpx.get(f"{server.url}/v2/app/manifests/1", trust_env=False).status_code == 404


def workers(server: LiveServer) -> list[int]:
    """The processes that the server has started."""
    assert server.process is not None
    return [
        int(word) for word in Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    ]


def test_nothing_is_there_unless_somebody_may_read_it(tmp_path: Path) -> None:
    for settings in ({}, {"CARGOHOLD_METRICS__NETWORKS": "192.0.2.0/24"}):
        with live_server(tmp_path, environment=settings) as server:
            answer = httpx.get(f"{server.url}/metrics", trust_env=False)

        assert (answer.status_code, answer.text) == (404, "Not Found")


def test_the_counts_of_all_workers_add_up_and_outlive_a_worker(tmp_path: Path) -> None:
    with live_server(tmp_path, arguments=["--workers", "3"], environment=READABLE) as server:
        ask(server, 30)
        before = [manifest_requests(server) for _ in range(6)]

        for worker in workers(server):
            os.kill(worker, signal.SIGKILL)
        server.wait_ready()
        ask(server, 10)

        assert before == [30] * 6
        assert manifest_requests(server) == 40


def test_a_server_that_ends_leaves_no_counts_behind(tmp_path: Path) -> None:
    before = set(Path("/dev/shm").glob("cargohold-counts-*"))
    with live_server(tmp_path, arguments=["--workers", "2"], environment=READABLE) as server:
        ask(server, 1)
        assert set(Path("/dev/shm").glob("cargohold-counts-*")) - before
        server.stop()

        assert set(Path("/dev/shm").glob("cargohold-counts-*")) <= before
