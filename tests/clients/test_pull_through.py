"""Real engines pull through our server, each in its own way, what only a registry that asks for logins has."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.commands import run
from tests.clients.docker_engine import docker_engine
from tests.clients.test_podman_buildah import Containers, containers
from tests.counting_proxy import CountingProxy, counting_proxy
from tests.guarded import PASSWORDS, guarded
from tests.images import Image, random_image, write_oci_layout
from tests.live_server import LiveServer
from tests.mirror.mirror_server import mirror_server
from tests.programs import need

__all__ = ["containers"]
LOGIN = f"alice:{PASSWORDS['alice']}"


@pytest.fixture
def image(seed: int) -> Image:
    """An image of two layers."""
    return random_image(seed)


@pytest.fixture
def proxy(tmp_path: Path, image: Image) -> Iterator[CountingProxy]:
    """The way to a Cargohold that asks for logins and holds `team/app:1`."""
    directory, layout = tmp_path / "upstream", tmp_path / "layout"
    directory.mkdir()
    write_oci_layout(layout, {"1": image})
    with guarded(directory) as upstream, counting_proxy(upstream.server.port) as proxy:
        to = f"docker://{upstream.address}/team/app:1"
        run(need("skopeo"), "copy", f"--dest-creds={LOGIN}", "--dest-tls-verify=false", f"oci:{layout}:1", to)
        yield proxy


@pytest.fixture
def own_server(tmp_path: Path, proxy: CountingProxy) -> Iterator[LiveServer]:
    """A server that mirrors it, as Docker Hub, too, and answers for names without a prefix."""
    upstream = {"name": "guarded", "url": proxy.address, "username": "alice", "password": PASSWORDS["alice"]}
    source = {"prefix": "hub", "upstream": "guarded", "ns": ["docker.io"]}
    with mirror_server(tmp_path / "mirror", [source], upstreams=[upstream], mirror={"default": "hub"}) as server:
        yield server


def _assert_fetched_once(proxy: CountingProxy, image: Image) -> None:
    fetched = {text: number for text, number in proxy.requests().items() if "GET" in text and "/blobs/" in text}
    assert fetched == {f"GET /v2/team/app/blobs/{blob.digest}": 1 for blob in image.blobs}


def test_docker_pulls_through_its_registry_mirror(own_server: LiveServer, proxy: CountingProxy, image: Image) -> None:
    with docker_engine(f"--registry-mirror={own_server.url}") as engine:
        for _ in range(2):
            engine("pull", "team/app:1")

            assert engine.image_id("team/app:1") == image.config.digest
            engine.forget("team/app:1")
        proxy.close()
        engine("pull", f"{own_server.address}/hub/team/app:1")

    _assert_fetched_once(proxy, image)


def test_podman_pulls_through_the_mirror_of_its_registries_conf(
    own_server: LiveServer, proxy: CountingProxy, image: Image, containers: Containers
) -> None:
    configuration = containers.directory / "registries.conf"
    configuration.write_text(
        '[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n'
        f'[[registry.mirror]]\nlocation = "{own_server.address}/hub"\ninsecure = true\n'
    )
    containers.environment["CONTAINERS_REGISTRIES_CONF"] = str(configuration)

    containers.podman("pull", "docker.io/team/app:1")

    assert containers.image_id("docker.io/team/app:1") == image.config.digest.removeprefix("sha256:")
    _assert_fetched_once(proxy, image)


def test_containerd_pulls_through_a_host_that_it_tells_the_namespace(
    own_server: LiveServer, proxy: CountingProxy, image: Image, tmp_path: Path
) -> None:
    hosts = tmp_path / "certs.d" / "docker.io" / "hosts.toml"
    hosts.parent.mkdir(parents=True)
    hosts.write_text(f'server = "{own_server.url}"\n[host."{own_server.url}"]\ncapabilities = ["pull", "resolve"]\n')

    with docker_engine() as engine:
        ctr = (need("ctr"), f"--address={engine.directory}/exec/containerd/containerd.sock")
        run(*ctr, "images", "pull", f"--hosts-dir={tmp_path}/certs.d", "docker.io/team/app:1")

        assert image.manifest.digest in run(*ctr, "images", "list").out
    assert "ns=docker.io" in own_server.tail(30_000)
    _assert_fetched_once(proxy, image)
