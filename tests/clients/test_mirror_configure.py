"""What `cargohold mirror configure` prints, given to real engines: names of images stay what they are."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.commands import run
from tests.clients.docker_engine import docker_engine
from tests.clients.registry_view import RegistryView
from tests.images import Image, random_image
from tests.live_server import LiveServer, cargohold_command, live_server
from tests.programs import need


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server on the closed side of a gap: it mirrors nothing, and has what bundles bring of Docker Hub."""
    with live_server(tmp_path, environment={"CARGOHOLD_MIRROR__DEFAULT": "docker.io"}) as server:
        yield server


@pytest.fixture
def image(own_server: LiveServer, seed: int) -> Image:
    """An image that lies where a bundle puts `app:1` of Docker Hub."""
    found = random_image(seed, docker=True)
    view = RegistryView(own_server.address)
    view.push("docker.io/library/app", "1", found)
    view.close()
    return found


def _configured(program: str, server: LiveServer) -> str:
    return run(*cargohold_command(), "mirror", "configure", program, "--url", server.url).out


def test_docker_and_containerd_pull_by_the_names_that_images_have_on_the_hub(
    own_server: LiveServer, image: Image, tmp_path: Path
) -> None:
    daemon, hosts = tmp_path / "daemon.json", tmp_path / "certs.d" / "docker.io" / "hosts.toml"
    daemon.write_text(_configured("docker", own_server))
    hosts.parent.mkdir(parents=True)
    hosts.write_text(_configured("containerd", own_server))

    with docker_engine(f"--config-file={daemon}") as engine:
        engine("pull", "app:1")
        assert engine.image_id("app:1") == image.config.digest

        ctr = (need("ctr"), f"--address={engine.directory}/exec/containerd/containerd.sock")
        run(*ctr, "images", "pull", f"--hosts-dir={tmp_path}/certs.d", "docker.io/library/app:1")
        assert image.manifest.digest in run(*ctr, "images", "list").out
