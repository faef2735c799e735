"""A compose file names what a bundle carries; the bundle is loaded elsewhere, and mends there what a disk has lost."""

import json
import subprocess
from pathlib import Path

from tests.images import random_image
from tests.live_server import cargohold_command, live_server
from tests.wire.repository import Repository
from tests.wire.test_scrubbing import blob_file, flip
from tests.wire.wire import Wire


def _cargohold(*arguments: str | Path, stdin: str = "") -> str:
    command = [*cargohold_command(), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_list_becomes_a_bundle_and_the_bundle_mends_what_was_loaded_from_it(tmp_path: Path) -> None:
    image, bundle, closed = random_image(seed=1), tmp_path / "out.tar", tmp_path / "closed"
    (closed / "data").mkdir(parents=True)
    with live_server(tmp_path) as there:
        Repository(Wire(there.url), "team/app").push("1", image)
        (tmp_path / "compose.yaml").write_text(f"services: {{app: {{image: '{there.address}/team/app:$TAG'}}}}\n")

        names = _cargohold("lists", tmp_path / "compose.yaml", "--set", "TAG=1")
        _cargohold("bundle", "create", "--from-file", "-", "-o", bundle, "--quiet", stdin=names)
    _cargohold("bundle", "load", bundle, "--root", closed / "data", "--quiet")
    with live_server(closed) as here:
        repository = Repository(Wire(here.url), f"{there.address.replace(':', '-')}/team/app")
        repository.assert_holds("1", image)
        flip(blob_file(here, image.layers[0].digest))
        flip(blob_file(here, image.manifest.digest), 10)

        found = _cargohold("scrub", "--root", here.root, "--json", "--quiet", "--from", f"oci:{bundle}")

        assert [damage["state"] for damage in json.loads(found)["damaged"]] == ["mended"] * 2
        repository.assert_holds("1", image)
