"""The example of haproxy before three replicas: pushes and pulls pass it, and a dead replica is passed by."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.architecture.places import ROOT
from tests.buckets.gateway import Gateway
from tests.buckets.proxy import Proxy
from tests.buckets.replicas import Replicas, bucket_settings, running_balancer, three_replicas
from tests.images import random_image
from tests.live_server import ReservedPort
from tests.programs import need
from tests.wire.repository import Repository
from tests.wire.wire import Wire

_EXAMPLE = ROOT / "config/examples/three-replicas/haproxy.cfg"


def _ours(example: str, port: int, replicas: Replicas) -> str:
    """The example with our addresses, and without the names that compose gives."""
    text = example.replace("bind :5000", f"bind 127.0.0.1:{port}")
    text = re.sub(r"resolvers docker\n +parse-resolv-conf\n", "", text)
    text = text.replace(" resolvers docker init-addr libc,none", "")
    servers = "".join(f"    server r{number} {each.address}\n" for number, each in enumerate(replicas.servers))
    return re.sub(r" +server-template .*\n", servers, text)


@contextmanager
def _haproxy(directory: Path, replicas: Replicas) -> Iterator[Wire]:
    port = ReservedPort()
    configuration = directory / "haproxy.cfg"
    configuration.write_text(_ours(_EXAMPLE.read_text(), port.number, replicas))
    command = [need("haproxy"), "-f", str(configuration), "-db"]
    with running_balancer(command, port, directory / "haproxy.log") as url:
        yield Wire(url)


@pytest.fixture
def replicas(tmp_path: Path, gateway: Gateway, proxy: Proxy, bucket: str) -> Iterator[Replicas]:
    """Three replicas over an empty bucket."""
    with three_replicas(tmp_path, bucket_settings(gateway, proxy.endpoint, bucket)) as running:
        yield running


def test_an_image_passes_the_example_and_nobody_notices_when_a_replica_dies(tmp_path: Path, replicas: Replicas) -> None:
    image = random_image(1, layer_size=300_000)
    with _haproxy(tmp_path, replicas) as wire:
        repository = Repository(wire, "team/app")
        repository.push("v1", image)
        repository.assert_holds("v1", image)

        replicas.servers[0].kill()

        answers = [repository.call("HEAD", "manifests/v1").status for _ in range(30)]
        assert answers == [200] * 30
        repository.push("v2", image)
        repository.assert_holds("v2", image)
