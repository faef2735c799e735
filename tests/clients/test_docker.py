"""A real Docker engine pushes, pulls, mounts and runs."""

import gzip
import json
import shutil
from pathlib import Path

import pytest

from tests.clients.docker_engine import DockerEngine
from tests.clients.registry_view import RegistryView
from tests.images import (
    DOCKER_MANIFEST,
    Content,
    Image,
    Layer,
    index,
    random_image,
    write_big_tar,
    write_docker_archive,
)
from tests.live_server import LiveServer
from tests.programs import need

GIBIBYTE = 1024**3


@pytest.fixture
def source(seed: int) -> Image:
    return random_image(seed, layers=3, docker=True)


def load(docker: DockerEngine, tmp_path: Path, reference: str, image: Image) -> None:
    archive = tmp_path / f"{image.config.digest[7:19]}.tar"
    write_docker_archive(archive, {reference: image})
    docker("load", "--input", archive)


def assert_pushed(registry: RegistryView, repository: str, tag: str, image: Image) -> Content:
    """Docker compresses layers anew, so what counts is the config (the image's id) and the bytes inside the layers."""
    manifest = registry.manifest(repository, tag)
    document = json.loads(manifest.data)
    assert manifest.media_type == DOCKER_MANIFEST
    assert registry.blob(repository, document["config"]["digest"]) == image.config.data
    tars = [gzip.decompress(registry.blob(repository, entry["digest"])) for entry in document["layers"]]
    assert tars == [layer.tar for layer in image.layers if isinstance(layer, Layer)]
    return manifest


def test_what_is_pushed_is_what_was_loaded(
    docker: DockerEngine, registry: RegistryView, repository: str, source: Image, tmp_path: Path
) -> None:
    reference = f"{registry.address}/{repository}:1"
    load(docker, tmp_path, reference, source)

    pushed = docker("push", reference)

    manifest = assert_pushed(registry, repository, "1", source)
    assert f"1: digest: {manifest.digest} size: {len(manifest.data)}" in pushed.out


def test_a_pull_by_tag_and_by_digest_gives_the_image_that_was_pushed(
    docker: DockerEngine, registry: RegistryView, repository: str, source: Image, tmp_path: Path
) -> None:
    name = f"{registry.address}/{repository}"
    load(docker, tmp_path, f"{name}:1", source)
    docker("push", f"{name}:1")
    digest = registry.manifest(repository, "1").digest
    docker.forget(f"{name}:1")
    assert not docker.has(source.config.digest)

    by_tag = docker("pull", f"{name}:1")
    assert f"Digest: {digest}" in by_tag.out
    assert docker.image_id(f"{name}:1") == source.config.digest

    docker.forget(source.config.digest)
    docker("pull", f"{name}@{digest}")
    assert docker.image_id(f"{name}@{digest}") == source.config.digest


def test_a_second_push_sends_no_layer(
    docker: DockerEngine, registry: RegistryView, repository: str, source: Image, tmp_path: Path
) -> None:
    reference = f"{registry.address}/{repository}:1"
    load(docker, tmp_path, reference, source)
    docker("push", reference)
    first = registry.manifest(repository, "1").digest

    again = docker("push", reference)

    assert again.out.count("Layer already exists") == len(source.layers)
    assert "Pushed" not in again.out
    assert registry.manifest(repository, "1").digest == first


def test_layers_are_mounted_from_the_repository_that_has_them(
    docker: DockerEngine, registry: RegistryView, repository: str, source: Image, tmp_path: Path
) -> None:
    first, second = f"{registry.address}/{repository}/a:1", f"{registry.address}/{repository}/b:1"
    load(docker, tmp_path, first, source)
    docker("push", first)
    docker("tag", first, second)

    pushed = docker("push", second)

    assert pushed.out.count(f"Mounted from {repository}/a") == len(source.layers)
    assert_pushed(registry, f"{repository}/b", "1", source)


def test_the_result_of_a_multi_stage_build_runs_after_a_pull(
    docker: DockerEngine, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    reference = f"{registry.address}/{repository}:built"
    shutil.copy(need("busybox"), tmp_path / "busybox")
    (tmp_path / "Dockerfile").write_text(
        f"""\
FROM scratch AS build
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox echo made-{seed} > /made"]
FROM scratch
COPY --from=build /bin/busybox /bin/busybox
COPY --from=build /made /made
ENTRYPOINT ["/bin/busybox"]
"""
    )
    docker("build", "--network", "none", "--no-cache", "--tag", reference, tmp_path)
    built = docker.image_id(reference)
    docker("push", reference)
    docker.forget(reference)
    assert not docker.has(built)

    docker("pull", reference)

    assert docker.image_id(reference) == built
    assert docker.output(reference, "cat", "/made") == f"made-{seed}\n"


@pytest.mark.parametrize("dialect", ["oci", "docker"])
def test_an_image_of_either_dialect_is_pulled_whole(
    docker: DockerEngine, registry: RegistryView, repository: str, seed: int, dialect: str
) -> None:
    image = random_image(seed, docker=dialect == "docker")
    registry.push(repository, "1", image)

    pulled = docker("pull", f"{registry.address}/{repository}:1")

    assert f"Digest: {image.manifest.digest}" in pulled.out
    assert docker.image_id(f"{registry.address}/{repository}:1") == image.config.digest


@pytest.mark.parametrize("dialect", ["oci", "docker"])
def test_a_pull_from_an_index_takes_the_image_of_its_platform(
    docker: DockerEngine, registry: RegistryView, repository: str, seed: int, dialect: str
) -> None:
    plain = dialect == "docker"
    images = [random_image(seed, docker=plain, architecture=name) for name in ("s390x", "amd64", "arm64")]
    registry.push(repository, "multi", index(images, docker=plain))
    reference = f"{registry.address}/{repository}:multi"

    docker("pull", "--platform", "linux/arm64", reference)

    assert docker.image_id(reference) == images[2].config.digest


def test_an_image_outlives_a_restart_of_the_registry(
    docker: DockerEngine, own_server: LiveServer, repository: str, source: Image, tmp_path: Path
) -> None:
    reference = f"{own_server.address}/{repository}:1"
    load(docker, tmp_path, reference, source)
    docker("push", reference)
    docker.forget(reference)

    own_server.restart()
    docker("pull", reference)

    assert docker.image_id(reference) == source.config.digest


def test_an_image_outlives_the_registry_being_killed(
    docker: DockerEngine, own_server: LiveServer, repository: str, source: Image, tmp_path: Path
) -> None:
    reference = f"{own_server.address}/{repository}:1"
    load(docker, tmp_path, reference, source)
    docker("push", reference)
    own_server.kill()
    docker.forget(reference)

    own_server.start()
    docker("pull", reference)

    assert docker.image_id(reference) == source.config.digest


def test_a_pull_of_what_is_not_there_says_so(docker: DockerEngine, registry: RegistryView, repository: str) -> None:
    refused = docker("pull", f"{registry.address}/{repository}:1", fails=True)

    assert "not found" in refused.err or "manifest unknown" in refused.err


@pytest.mark.timeout(300)
def test_a_layer_of_one_gibibyte_comes_back_whole(
    docker: DockerEngine, registry: RegistryView, repository: str, seed: int, tmp_path: Path, registry_url: str
) -> None:
    """Of a quarter of it where the registry is given: most of the minute that this takes is the engine's work."""
    size = GIBIBYTE // 4 if registry_url else GIBIBYTE
    reference = f"{registry.address}/{repository}:big"
    write_big_tar(tmp_path / "big.tar", size, seed)
    docker("import", tmp_path / "big.tar", reference)
    (tmp_path / "big.tar").unlink()
    pushed = docker.image_id(reference)
    docker("push", reference)
    entry = json.loads(registry.manifest(repository, "big").data)["layers"][0]
    docker.forget(reference)
    assert not docker.has(pushed)

    docker("pull", reference)

    assert entry["size"] >= size
    assert docker.image_id(reference) == pushed
    docker.forget(reference)


def test_an_image_with_many_layers_keeps_their_order(
    docker: DockerEngine, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    image = random_image(seed, layers=40, layer_size=2048, docker=True)
    reference = f"{registry.address}/{repository}:1"
    load(docker, tmp_path, reference, image)
    docker("push", reference)
    assert_pushed(registry, repository, "1", image)
    docker.forget(reference)

    docker("pull", reference)

    assert docker.image_id(reference) == image.config.digest
