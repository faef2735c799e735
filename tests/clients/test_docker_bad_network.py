"""A real Docker engine meets a connection that breaks in the middle of a layer."""

from pathlib import Path

import pytest

from tests.clients.docker_engine import DockerEngine
from tests.clients.registry_view import RegistryView
from tests.cutting_proxy import cutting_proxy
from tests.images import random_image, write_docker_archive

LAYER = 24 * 1024**2
CUT = 9 * 1024**2


@pytest.mark.timeout(120)
def test_a_broken_pull_goes_on_where_it_ended(
    docker: DockerEngine, registry: RegistryView, repository: str, seed: int
) -> None:
    image = random_image(seed, layers=1, layer_size=LAYER)
    registry.push(repository, "1", image)

    with cutting_proxy(registry.port, "to client", CUT) as proxy:
        docker("pull", f"{proxy.address}/{repository}:1")

        assert proxy.was_cut
        assert any(b"\r\nRange: bytes=" in sent for sent in proxy.sent_by_clients), "docker did not resume"
        assert docker.image_id(f"{proxy.address}/{repository}:1") == image.config.digest


@pytest.mark.timeout(120)
def test_a_broken_push_is_tried_again_and_ends_whole(
    docker: DockerEngine, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    image = random_image(seed, layers=1, layer_size=LAYER, docker=True)

    with cutting_proxy(registry.port, "to server", CUT) as proxy:
        reference = f"{proxy.address}/{repository}:1"
        write_docker_archive(tmp_path / "image.tar", {reference: image})
        docker("load", "--input", tmp_path / "image.tar")
        docker("push", reference)
        assert proxy.was_cut

    docker.forget(reference)
    docker("pull", f"{registry.address}/{repository}:1")
    assert docker.image_id(f"{registry.address}/{repository}:1") == image.config.digest
