"""fsck on trees that others wrote, beside pushes, and killed in the middle."""

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from tests import images
from tests.clients.registry_view import RegistryView
from tests.live_server import cargohold_command, live_server
from tests.wire.old_registry import old_registry
from tests.wire.repository import Repository
from tests.wire.wire import Wire

_TREE = "docker/registry/v2/repositories"


def _command(root: Path, *arguments: str) -> list[str]:
    return [*cargohold_command(), "fsck", "--root", str(root), "--json", "--quiet", *arguments]


def _fsck(root: Path, *arguments: str) -> tuple[int, Any]:
    done = subprocess.run(_command(root, *arguments), capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_every_link_that_a_crash_of_registry_2_has_left_empty_is_mended(tmp_path: Path) -> None:
    """Source: distribution, issues about `invalid checksum digest format` after a crash: link files of zero bytes."""
    image, multi = images.random_image(seed=1, docker=True), images.index([images.random_image(seed=2)])
    root = tmp_path / "data"
    with old_registry(root, tmp_path / "old") as view:
        view.push("library/app", "1.0", image)
        view.push("team/multi", "v1", multi)
    assert _fsck(root)[1]["findings"] == []
    links = list((root / _TREE).rglob("link"))
    whole = {link: link.read_bytes() for link in links}
    for link in links:
        link.write_bytes(b"")

    code, found = _fsck(root, "--repair")

    assert (code, all(finding["repaired"] for finding in found["findings"])) == (0, True)
    assert {link: link.read_bytes() for link in links} == whole
    with old_registry(root, tmp_path / "old") as view:
        view.assert_holds("library/app", "1.0", image)
    with live_server(tmp_path) as server:
        view = RegistryView(server.address)
        view.assert_holds("team/multi", "v1", multi)
        view.close()


def test_pushes_and_deletions_under_way_are_no_findings(tmp_path: Path) -> None:
    over = threading.Event()
    with live_server(tmp_path) as server:

        def push(number: int) -> None:
            repository = Repository(Wire(server.url), f"team/app-{number}")
            seed = 0
            while not over.is_set():
                seed += 1
                image = images.random_image(seed=number * 1000 + seed, layer_size=5000)
                repository.push("latest", image)
                if seed % 3 == 0:
                    repository.call("DELETE", f"manifests/{image.manifest.digest}")

        threads = [threading.Thread(target=push, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        try:
            results = [_fsck(server.root, "--repair") for _ in range(2)]
        finally:
            over.set()
            for thread in threads:
                thread.join()

        assert [result[1]["findings"] for result in results] == [[]] * 2
        assert _fsck(server.root)[0] == 0


def test_killed_in_the_middle_of_repairing_the_next_one_ends_it(tmp_path: Path) -> None:
    with live_server(tmp_path) as server:
        for number in range(12):
            Repository(Wire(server.url), f"team/app-{number:02}").push("latest", images.random_image(seed=1))
        links = list((server.root / _TREE).rglob("link"))
        whole = {link: link.read_bytes() for link in links}
        for link in links:
            link.write_bytes(b"")

        running = subprocess.Popen(_command(server.root, "--repair"), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not any(link.read_bytes() for link in links):
            assert time.monotonic() < deadline
        running.kill()
        running.wait()
        assert 0 < sum(not link.read_bytes() for link in links) < len(links)

        code, found = _fsck(server.root, "--repair")

        assert (code, len(found["findings"]) > 0) == (0, True)
        assert {link: link.read_bytes() for link in links} == whole
