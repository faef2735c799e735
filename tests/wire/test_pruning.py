"""Pruning the storage of a server that is running: what its clients pull stays."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from registry.content import keyspace
from tests.images import index, random_image
from tests.live_server import live_server
from tests.unit.cli.filled import filled
from tests.wire.repository import Repository
from tests.wire.wire import Wire

_SECONDS = 30.0
_DAYS = 3 * 86400.0


def _prune(root: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "registry", "prune", "--root", str(root), "--force", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **(environment or {})})


def _age(files: Sequence[Path]) -> None:
    then = time.time() - _DAYS
    for file in files:
        os.utime(file, (then, then))


def test_what_clients_of_a_running_server_pull_stays_however_they_do_it(tmp_path: Path) -> None:
    """docker asks with HEAD by tag; containerd, when it has the image, with nothing else; of an index clients get the
    manifest of their platform.
    """
    with live_server(tmp_path, arguments=["--workers", "2"]) as server:
        repository = Repository(Wire(server.url), "team/app")
        asked, got, unused = (random_image(seed=seed) for seed in (10, 11, 12))
        platforms = [random_image(seed=seed, architecture=name) for seed, name in enumerate(("amd64", "arm64"))]
        arm64 = platforms[1].manifest.digest
        for tag, image in (("asked", asked), ("got", got), ("unused", unused), ("many", index(platforms))):
            repository.push(tag, image)
        since = server.root / keyspace.PULLS_SINCE
        _wait_for(since)
        _age([since, *(server.root / keyspace.revisions("team/app")).rglob("link")])

        for method, reference in (("HEAD", "asked"), ("GET", "got"), ("GET", arm64)):
            assert repository.call(method, f"manifests/{reference}").status == 200
        for digest in (asked.manifest.digest, got.manifest.digest, arm64):
            _wait_for(server.root / keyspace.pulls("team/app") / digest.replace(":", "/"))
        done = _prune(server.root, "--all", "--filter", "until=48h", "--json")
        out, err = done.communicate(timeout=_SECONDS)

        assert done.returncode == 0, err
        assert [image["untagged"] for image in json.loads(out)["images"]] == [["unused"]]
        assert repository.call("GET", "manifests/unused").status == 404
        repository.assert_holds("got", got)
        for platform in platforms:
            assert repository.call("GET", f"manifests/{platform.manifest.digest}").status == 200
        assert repository.call("GET", "manifests/many").status == 200


@pytest.mark.timeout(120)
def test_killed_in_the_middle_it_leaves_whole_images_and_the_next_one_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "data"
    filled(root, "v1", *[None] * 100)
    links = root / keyspace.revisions("team/app") / "sha256"
    soon = {"CARGOHOLD_CLEANUP__LEASE_SECONDS": "4"}

    killed = _prune(root, environment=soon)
    deadline = time.monotonic() + _SECONDS
    while len(list(links.iterdir())) > 95:
        assert time.monotonic() < deadline
        assert killed.poll() is None, killed.communicate()
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()

    refused = True
    deadline = time.monotonic() + _SECONDS
    while refused:
        assert time.monotonic() < deadline
        again = _prune(root, environment=soon)
        _, err = again.communicate(timeout=_SECONDS)
        refused = "a collection is running already" in err
    assert again.returncode == 0, err
    assert len(list(links.iterdir())) == 1
    with live_server(tmp_path) as server:
        repository = Repository(Wire(server.url), "team/app")
        manifest = json.loads(repository.call("GET", "manifests/v1").body)
        for blob in (manifest["config"], *manifest["layers"]):
            assert repository.call("GET", f"blobs/{blob['digest']}").status == 200


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} does not come"
        time.sleep(0.05)
