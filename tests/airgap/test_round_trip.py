"""A whole round trip over the gap: out with a bundle, back with an inventory, out with what is new; in files alone."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.airgap.namespaces import Side, SideServer, server_on, side
from tests.clients.docker_engine import docker_engine
from tests.images import Image, Index, all_contents, image, index, layer, random_bytes, random_image, write_oci_layout
from tests.live_server import cargohold_command
from tests.programs import need

_HUB = "127.0.0.1:5001"
"""Debian's docker-registry on the open side, in the role of Docker Hub."""
_TEAM = "127.0.0.1:5000"
"""Cargohold that asks for a login on the open side, in the role of a team's registry."""
_SIGNATURE = "application/vnd.example.signature"
_PASSWORD = "correct horse battery staple"
_HUB_CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "{address}"}}
"""
_CLOSED = f"""mirror:
  sources:
    - {{prefix: 127.0.0.1-5001, upstream: "{_HUB}", offline: true}}
    - {{prefix: 127.0.0.1-5000, upstream: "{_TEAM}", offline: true}}
  default: 127.0.0.1-5001
"""
_LOGINS = {"CARGOHOLD_AUTH__ENABLED": "true", "CARGOHOLD_CLEANUP__INTERVAL_SECONDS": "0"}
_POLL_SECONDS = 0.05
_START_SECONDS = 20.0


@dataclass(frozen=True)
class Opened:
    """The open side with its registries, and what its user needs to log in."""

    side: Side
    directory: Path
    environment: dict[str, str]

    def push(self, reference: str, value: Image | Index) -> None:
        """Push with skopeo."""
        layout = self.directory / f"layout-{value.manifest.digest[7:19]}"
        write_oci_layout(layout, {"it": value})
        self.side.run(
            *(need("skopeo"), "copy", "--all", "--dest-tls-verify=false", f"oci:{layout}:it", f"docker://{reference}"),
            env=self.environment,
        )
        shutil.rmtree(layout)

    def sign(self, reference: str) -> str:
        """Attach something that stands for a signature; return its manifest's digest."""
        (self.directory / "signature").write_bytes(b"signed by somebody")
        done = self.side.run(
            *(need("oras"), "attach", "--plain-http", "--distribution-spec", "v1.1-referrers-api", "--format", "json"),
            *("--artifact-type", _SIGNATURE, reference, "signature:application/octet-stream"),
            env=self.environment,
            cwd=self.directory,
        )
        return str(json.loads(done.out)["digest"])

    def cargohold(self, *arguments: str | Path) -> str:
        """Run `cargohold` as the user of this side."""
        return self.side.cargohold(*arguments, env=self.environment).out


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """The open side: Docker Hub, a team's registry, and somebody who is logged in there."""
    directory = tmp_path / "open"
    (directory / "docker").mkdir(parents=True)
    with side("open") as here, _hub(here, directory), server_on(here, directory, environment=_LOGINS):
        password = tmp_path / "password"
        password.write_text(_PASSWORD)
        added = ("user", "add", "alice", "--password-stdin", "--root", directory / "data")
        here.run(*cargohold_command(), *added, stdin=password)
        environment = {
            "DOCKER_CONFIG": str(directory / "docker"),
            "REGISTRY_AUTH_FILE": f"{directory}/docker/config.json",
        }
        login = ("login", "--tls-verify=false", "--username", "alice", "--password", _PASSWORD, _TEAM)
        here.run(need("skopeo"), *login, env=environment)
        yield Opened(here, directory, environment)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[SideServer]:
    """The closed side: an empty registry that answers for the open side's registries by their names."""
    directory = tmp_path / "closed"
    directory.mkdir()
    (directory / "cargohold.yml").write_text(_CLOSED)
    config = ["--config", str(directory / "cargohold.yml")]
    with side("closed") as here, server_on(here, directory, arguments=config) as server:
        yield server


@contextmanager
def _hub(here: Side, directory: Path) -> Iterator[None]:
    config = directory / "hub.yml"
    config.write_text(_HUB_CONFIG.format(root=directory / "hub", address=_HUB))
    with (directory / "hub.log").open("wb") as log:
        process = subprocess.Popen([*here.prefix, need("docker-registry"), "serve", config], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not here.reaches(f"http://{_HUB}/v2/"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"docker-registry does not answer: {(directory / 'hub.log').read_text()}")
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        process.terminate()
        process.wait()


def _here(closed: SideServer) -> Side:
    assert closed.side is not None
    return closed.side


@pytest.mark.timeout(180)
def test_what_crosses_in_files_serves_a_docker_engine_on_the_closed_side_as_if_nothing_were_missing(
    tmp_path: Path, opened: Opened, closed: SideServer
) -> None:
    gap = tmp_path / "gap"
    gap.mkdir()
    busybox = layer({"bin/busybox": Path(need("busybox")).read_bytes()})
    first = image([busybox], command=["/bin/busybox", "echo", "first"])
    several = index([random_image(1), random_image(2, architecture="arm64")])
    signed = random_image(3)
    opened.push(f"{_HUB}/library/app:latest", first)
    opened.push(f"{_HUB}/tools/several:1", several)
    opened.push(f"{_TEAM}/team/signed:1", signed)
    signature = opened.sign(f"{_TEAM}/team/signed:1")
    (gap / "compose.yaml").write_text(
        f"services: {{a: {{image: '{_HUB}/library/app'}}, b: {{image: '{_HUB}/tools/several:1'}},"
        f" c: {{image: '{_TEAM}/team/signed:1'}}}}"
    )

    # out: what a compose file names, signed with a key
    opened.cargohold("bundle", "keygen", gap / "bundle")
    (gap / "images.txt").write_text(opened.cargohold("lists", gap / "compose.yaml"))
    opened.cargohold(
        *("bundle", "create", "--from-file", gap / "images.txt", "--output", gap / "first.tar"),
        *("--sign", gap / "bundle.key", "--plain-http"),
    )
    here = _here(closed)
    here.cargohold("bundle", "verify", gap / "first.tar", "--key", gap / "bundle.pub")
    here.cargohold("bundle", "load", gap / "first.tar", "--key", gap / "bundle.pub", "--root", closed.root)

    # back: what the closed side has; out again: what is new since
    here.cargohold("bundle", "inventory", "--root", closed.root, "--output", gap / "inventory.json")
    added = layer({"data": random_bytes(400_000, seed=4)})
    second = image([busybox, added], command=["/bin/busybox", "echo", "second"])
    opened.push(f"{_HUB}/library/app:latest", second)
    opened.cargohold(
        *("bundle", "create", "--from-file", gap / "images.txt", "--output", gap / "second.tar"),
        *("--since", gap / "inventory.json", "--sign", gap / "bundle.key", "--plain-http"),
    )
    changed = len(added.data) + len(second.config.data) + len(second.manifest.data)
    assert (gap / "second.tar").stat().st_size <= 1.05 * changed

    with docker_engine(f"--registry-mirror={closed.url}", prefix=here.prefix) as docker:
        # the engine asks for docker.io/library/app, and the mirror answers
        docker("pull", "app")
        assert docker.image_id("app") == first.config.digest
        assert docker.output("app") == "first\n"

        here.cargohold("bundle", "load", gap / "second.tar", "--key", gap / "bundle.pub", "--root", closed.root)
        docker("pull", "app")
        assert docker.output("app") == "second\n"
        docker("pull", f"{closed.address}/tools/several:1")
        assert docker.image_id(f"{closed.address}/tools/several:1") == several.images[0].config.digest
        docker("pull", f"{closed.address}/127.0.0.1-5000/team/signed@{signed.manifest.digest}")

    index_there = here.run(need("crane"), "manifest", "--insecure", f"{closed.address}/127.0.0.1-5001/tools/several:1")
    assert index_there.out.encode() == several.manifest.data
    found = here.run(
        *(need("oras"), "discover", "--plain-http", "--distribution-spec", "v1.1-referrers-api", "--format", "json"),
        f"{closed.address}/127.0.0.1-5000/team/signed:1",
    )
    assert [entry["digest"] for entry in json.loads(found.out)["referrers"]] == [signature]
    _is_sound(closed, [first, second, several, signed])


def _is_sound(closed: SideServer, values: list[Image | Index]) -> None:
    """Everything is on the closed side's disk, and the registry finds nothing wrong with it."""
    blobs = closed.root / "docker/registry/v2/blobs/sha256"
    for value in values:
        for content in all_contents(value):
            encoded = content.digest.removeprefix("sha256:")
            assert (blobs / encoded[:2] / encoded / "data").read_bytes() == content.data
    _here(closed).cargohold("fsck", "--root", closed.root)


@pytest.mark.timeout(120)
def test_a_bundle_that_was_changed_on_its_way_changes_nothing_on_the_closed_side(
    tmp_path: Path, opened: Opened, closed: SideServer
) -> None:
    gap = tmp_path / "gap"
    gap.mkdir()
    opened.push(f"{_HUB}/library/app:latest", random_image(5))
    opened.cargohold("bundle", "keygen", gap / "bundle")
    opened.cargohold(
        "bundle", "create", f"{_HUB}/library/app", "-o", gap / "out.tar", "--sign", gap / "bundle.key", "--plain-http"
    )
    data = bytearray((gap / "out.tar").read_bytes())
    middle = len(data) // 2
    data[middle] ^= 1
    (gap / "out.tar").write_bytes(data)

    refused = _here(closed).cargohold("bundle", "load", gap / "out.tar", "--root", closed.root, fails=True)

    assert "damaged" in refused.err
    assert not list(closed.root.glob("docker/registry/v2/repositories/*/*/_manifests"))
