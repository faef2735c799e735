"""podman and buildah build, push, pull and push manifest lists."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.commands import Result, run
from tests.clients.registry_view import RegistryView
from tests.images import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, index, random_image, write_docker_archive
from tests.live_server import cargohold_command
from tests.programs import need


class Containers:
    """`podman` and `buildah` over one local storage of their own."""

    def __init__(self, directory: Path) -> None:
        storage = (f"--root={directory / 'root'}", f"--runroot={directory / 'run'}", "--storage-driver=vfs")
        self._podman = (need("podman"), *storage, "--cgroup-manager=cgroupfs", "--events-backend=none")
        self._buildah = (need("buildah"), *storage)
        self.environment = {"TMPDIR": str(directory)}
        self.directory = directory

    def podman(self, *arguments: str | Path, fails: bool = False) -> Result:
        """Run `podman ARGUMENTS`."""
        return run(*self._podman, *arguments, env=self.environment, fails=fails)

    def buildah(self, *arguments: str | Path) -> Result:
        """Run `buildah ARGUMENTS`."""
        return run(*self._buildah, *arguments, env=self.environment)

    def image_id(self, reference: str) -> str:
        """The id of a local image: the hex of its config's digest."""
        return self.podman("image", "inspect", "--format", "{{.Id}}", reference).out.strip()


@pytest.fixture
def containers() -> Iterator[Containers]:
    directory = Path(tempfile.mkdtemp(prefix="cargohold-pod-"))  # podman wants a path of less than 50 characters
    yield Containers(directory)
    shutil.rmtree(directory)


PLAIN = "--tls-verify=false"


def test_podman_pushes_what_it_loaded_and_pulls_it_back(
    containers: Containers, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    image = random_image(seed, docker=True)
    reference = f"{registry.address}/{repository}:1"
    write_docker_archive(tmp_path / "image.tar", {reference: image})
    containers.podman("load", "--input", tmp_path / "image.tar")
    local = containers.image_id(reference)

    containers.podman("push", PLAIN, f"--digestfile={tmp_path}/digest", reference)
    containers.podman("image", "rm", "--force", reference)
    containers.podman("pull", PLAIN, reference)

    served = registry.manifest(repository, "1")
    assert (tmp_path / "digest").read_text() == served.digest
    assert containers.image_id(reference) == local
    for entry in json.loads(served.data)["layers"]:
        assert len(registry.blob(repository, entry["digest"])) == entry["size"]


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_podman_pulls_an_image_by_digest(
    containers: Containers, registry: RegistryView, repository: str, seed: int, docker: bool
) -> None:
    image = random_image(seed, docker=docker)
    registry.push(repository, "1", image)
    reference = f"{registry.address}/{repository}@{image.manifest.digest}"

    containers.podman("pull", PLAIN, reference)

    assert containers.image_id(reference) == image.config.digest.removeprefix("sha256:")


def test_podman_pushes_a_manifest_list_with_all_its_images(
    containers: Containers, registry: RegistryView, repository: str, seed: int
) -> None:
    images = [random_image(seed, architecture=name) for name in ("amd64", "arm64")]
    for image in images:
        registry.push(f"{repository}/parts", image.platform[1], image)
    name = f"list-{seed:08x}"
    containers.podman("manifest", "create", name)
    for image in images:
        containers.podman(
            "manifest", "add", PLAIN, name, f"docker://{registry.address}/{repository}/parts:{image.platform[1]}"
        )

    containers.podman(
        "manifest", "push", PLAIN, "--all", "--format=oci", name, f"docker://{registry.address}/{repository}:multi"
    )

    served = registry.manifest(repository, "multi")
    assert served.media_type == OCI_INDEX
    assert [entry["digest"] for entry in json.loads(served.data)["manifests"]] == [i.manifest.digest for i in images]
    for image in images:
        registry.assert_holds(repository, image.manifest.digest, image)


def test_podman_pulls_its_own_platform_from_an_index(
    containers: Containers, registry: RegistryView, repository: str, seed: int
) -> None:
    images = [random_image(seed, architecture=name) for name in ("s390x", "arm64")]
    registry.push(repository, "multi", index(images))
    reference = f"{registry.address}/{repository}:multi"

    containers.podman("pull", PLAIN, "--arch=arm64", reference)

    assert containers.image_id(reference) == images[1].config.digest.removeprefix("sha256:")


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_buildah_builds_from_scratch_and_pushes_what_podman_pulls(
    containers: Containers, registry: RegistryView, repository: str, seed: int, docker: bool
) -> None:
    reference = f"{registry.address}/{repository}:built"
    context = containers.directory / "context"
    context.mkdir()
    (context / "payload").write_text(f"payload {seed}")
    (context / "Containerfile").write_text("FROM scratch\nCOPY payload /payload\n")
    containers.buildah("bud", "--format", "docker" if docker else "oci", f"--tag={reference}", context)
    built = containers.image_id(reference)

    containers.buildah("push", PLAIN, reference)
    containers.podman("image", "rm", "--force", reference)
    containers.podman("pull", PLAIN, reference)

    assert registry.manifest(repository, "built").media_type == (DOCKER_MANIFEST if docker else OCI_MANIFEST)
    assert containers.image_id(reference) == built
    name = containers.podman("create", reference, "/payload").out.strip()
    containers.podman("cp", f"{name}:/payload", context / "copied")
    assert (context / "copied").read_text() == f"payload {seed}"


def test_podman_is_told_clearly_what_is_not_there(
    containers: Containers, registry: RegistryView, repository: str
) -> None:
    refused = containers.podman("pull", PLAIN, f"{registry.address}/{repository}:none", fails=True)

    assert "manifest unknown" in refused.err or "name unknown" in refused.err


def test_podman_pulls_from_the_mirror_by_the_names_that_images_have_elsewhere(
    containers: Containers, registry: RegistryView, seed: int, tmp_path: Path
) -> None:
    image = random_image(seed, docker=True)
    registry.push(f"carried/{seed}/team/app", "1", image)
    conf = tmp_path / "registries.conf"
    arguments = ["--url", f"http://{registry.address}", "--upstream", f"elsewhere.invalid=carried/{seed}"]
    conf.write_text(run(*cargohold_command(), "mirror", "configure", "podman", *arguments).out)
    containers.environment["CONTAINERS_REGISTRIES_CONF"] = str(conf)

    containers.podman("pull", "elsewhere.invalid/team/app:1")

    assert f"sha256:{containers.image_id('elsewhere.invalid/team/app:1')}" == image.config.digest
