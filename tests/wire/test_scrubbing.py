"""Scrubbing beside a server: by hand, by itself, and killed in the middle."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.images import random_bytes, random_image
from tests.live_server import LiveServer, cargohold_command, live_server
from tests.wire.repository import Repository
from tests.wire.wire import Wire

_SECONDS = 30.0


def blob_file(server: LiveServer, digest: str) -> Path:
    encoded = digest.partition(":")[2]
    return server.root / f"docker/registry/v2/blobs/sha256/{encoded[:2]}/{encoded}/data"


def flip(file: Path, offset: int = 1000) -> None:
    """Turn one bit over, in place."""
    with file.open("r+b") as data:
        data.seek(offset)
        [byte] = data.read(1)
        data.seek(offset)
        data.write(bytes([byte ^ 1]))


def _scrub(server: LiveServer, *arguments: str) -> list[str]:
    return [*cargohold_command(), "scrub", "--root", str(server.root), "--json", "--quiet", *arguments]


def _wait(until: Callable[[], bool], why: Callable[[], str]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not until():
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)


def test_a_flipped_bit_is_found_and_the_next_push_mends_it_while_the_server_runs(tmp_path: Path) -> None:
    image, other = random_image(seed=1), random_image(seed=2)
    with live_server(tmp_path) as server:
        repository = Repository(Wire(server.url), "team/app")
        repository.push("latest", image)
        repository.push("other", other)
        layer = image.layers[0].digest
        flip(blob_file(server, layer))

        done = subprocess.run(_scrub(server), capture_output=True, text=True, check=False)

        assert done.returncode == 1, done.stderr
        [damage] = json.loads(done.stdout)["damaged"]
        assert (damage["digest"], damage["images"]) == (layer, [f"team/app:latest@{image.manifest.digest}"])
        assert repository.call("HEAD", f"blobs/{layer}").status == 404
        repository.assert_holds("other", other)

        repository.push("latest", image)
        repository.assert_holds("latest", image)
        assert subprocess.run(_scrub(server), capture_output=True, check=False).returncode == 0


def test_a_server_scrubs_by_itself_and_says_what_it_found(tmp_path: Path) -> None:
    image = random_image(seed=1)
    environment = {"CARGOHOLD_CLEANUP__SCRUB_INTERVAL_SECONDS": "300ms"}
    with live_server(tmp_path, arguments=["--workers", "2"], environment=environment) as server:
        repository = Repository(Wire(server.url), "team/app")
        repository.push("latest", image)
        flip(blob_file(server, image.layers[0].digest))

        _wait(lambda: f"needed by ['team/app:latest@{image.manifest.digest}']" in server.tail(), server.tail)

        repository.push("latest", image)
        repository.assert_holds("latest", image)
        assert server.stop() == 0
        assert "Traceback" not in server.tail()


def test_killed_in_the_middle_the_next_one_goes_on_from_there(tmp_path: Path) -> None:
    with live_server(tmp_path) as server:
        repository = Repository(Wire(server.url), "team/app")
        for seed in range(12):
            repository.push_blob(random_bytes(500_000, seed))
        state = server.root / "cargohold/v1/scrub"
        environment = {**os.environ, "CARGOHOLD_CLEANUP__LEASE_SECONDS": "1"}
        running = subprocess.Popen(_scrub(server, "--rate", "1MB/s"), env=environment)
        _wait(lambda: state.exists() and json.loads(state.read_bytes())[4] != "", lambda: "it does not get on")
        running.send_signal(signal.SIGKILL)
        running.wait()
        left = json.loads(state.read_bytes())
        last = server.root / "docker/registry/v2/blobs"
        flip(max(last.rglob("data")))

        _wait(lambda: time.time() - state.stat().st_mtime > 1, lambda: "the clock stands still")
        done = subprocess.run(_scrub(server), env=environment, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr  # nothing needs the blob
        found = json.loads(done.stdout)
        assert (found["resumed"], found["blobs"], len(found["damaged"])) == (True, 12, 1)
        assert 0 < left[5] < 12


@pytest.mark.parametrize("prefix", ["mirror", "mirror/"])
def test_another_registry_mends_what_was_lost(tmp_path: Path, prefix: str) -> None:
    image = random_image(seed=1)
    (tmp_path / "there").mkdir()
    with live_server(tmp_path) as server, live_server(tmp_path / "there") as there:
        repository = Repository(Wire(server.url), "mirror/team/app")
        repository.push("latest", image)
        Repository(Wire(there.url), "team/app").push("other", image)
        flip(blob_file(server, image.layers[0].digest))
        flip(blob_file(server, image.manifest.digest), 10)

        command = _scrub(server, "--from", there.address, "--prefix", prefix)
        done = subprocess.run(command, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        assert [damage["state"] for damage in json.loads(done.stdout)["damaged"]] == ["mended"] * 2
        repository.assert_holds("latest", image)
