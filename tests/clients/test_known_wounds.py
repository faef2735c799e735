"""What hurt users of other registries, shown with the clients that it hurt."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.clients.docker_engine import DockerEngine
from tests.clients.registry_view import RegistryView
from tests.clients.test_docker import assert_pushed, load
from tests.images import Image, random_image
from tests.live_server import LiveServer, ReservedPort


@pytest.fixture
def source(seed: int) -> Image:
    return random_image(seed, layers=3, docker=True)


@pytest.fixture
def other_replica(own_server: LiveServer, tmp_path: Path) -> Iterator[LiveServer]:
    """A second server process over the directory of `own_server`."""
    port = ReservedPort()
    server = LiveServer(own_server.root, port.number, tmp_path / "other.log")
    server.start()
    yield server
    server.kill()
    port.close()


def delete_whole(registry: RegistryView, repository: str, tag: str) -> None:
    """Delete the manifest under the tag and every blob that it names."""
    manifest = registry.manifest(repository, tag)
    document = json.loads(manifest.data)
    registry.delete_manifest(repository, manifest.digest)
    for entry in (document["config"], *document["layers"]):
        registry.delete_blob(repository, entry["digest"])


def test_an_image_that_was_deleted_is_pushed_again_whole_without_a_restart(
    docker: DockerEngine, registry: RegistryView, repository: str, source: Image, tmp_path: Path
) -> None:
    """distribution #3743, #4569: a cached blob descriptor outlived the blob, the push said "Layer already exists"."""
    reference = f"{registry.address}/{repository}:1"
    load(docker, tmp_path, reference, source)
    docker("push", reference)
    docker("pull", reference)  # whatever caches, has cached by now

    delete_whole(registry, repository, "1")
    again = docker("push", reference)

    assert "Layer already exists" not in again.out
    assert_pushed(registry, repository, "1", source)
    docker.forget(reference)
    docker("pull", reference)
    assert docker.image_id(reference) == source.config.digest


def test_what_one_replica_deleted_the_other_one_takes_again(
    docker: DockerEngine,
    own_server: LiveServer,
    other_replica: LiveServer,
    source: Image,
    tmp_path: Path,
) -> None:
    """distribution #3743, #2966: the cache that lied was the other replica's."""
    here, there = f"{own_server.address}/app:1", f"{other_replica.address}/app:1"
    load(docker, tmp_path, here, source)
    docker("tag", here, there)
    docker("push", here)
    assert docker("push", there).out.count("Layer already exists") == len(source.layers)

    with closing(RegistryView(own_server.address)) as registry:
        delete_whole(registry, "app", "1")
    again = docker("push", there)

    assert "Layer already exists" not in again.out
    docker.forget(here, there)
    docker("pull", here)
    assert docker.image_id(here) == source.config.digest


def test_an_image_is_pulled_right_after_its_push_when_another_repository_holds_the_same_layers(
    docker: DockerEngine, registry: RegistryView, repository: str, source: Image, tmp_path: Path
) -> None:
    """zot #2625: deduplication put a stand-in in the place of the one real copy; the pull after the push failed."""
    first, second = f"{registry.address}/{repository}/a:1", f"{registry.address}/{repository}/b:1"
    load(docker, tmp_path, first, source)
    docker("tag", first, second)
    docker("push", first)
    docker("push", second)
    delete_whole(registry, f"{repository}/a", "1")
    docker.forget(first, second)

    docker("pull", second)

    assert docker.image_id(second) == source.config.digest
