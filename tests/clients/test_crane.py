"""crane pushes, pulls, lists, copies, tags, appends and validates."""

import json
import tarfile
from pathlib import Path

import pytest

from tests.clients.commands import Result, run
from tests.clients.registry_view import RegistryView
from tests.images import index, layer, random_image, write_docker_archive, write_oci_layout
from tests.programs import need


class Crane:
    """The `crane` command; it speaks plain HTTP to the loopback by itself."""

    def __init__(self, address: str) -> None:
        self._program = need("crane")
        self._address = address

    def image(self, name: str) -> str:
        """A reference to an image in the registry under test."""
        return f"{self._address}/{name}"

    def __call__(self, *arguments: str | Path, fails: bool = False) -> Result:
        """Run `crane ARGUMENTS`."""
        return run(self._program, *arguments, fails=fails)


@pytest.fixture
def crane(registry: RegistryView) -> Crane:
    return Crane(registry.address)


def test_an_archive_is_pushed_and_validates(
    crane: Crane, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    image = random_image(seed, docker=True)
    write_docker_archive(tmp_path / "image.tar", {"any/name:1": image})

    crane("push", tmp_path / "image.tar", crane.image(f"{repository}:1"))

    crane("validate", "--remote", crane.image(f"{repository}:1"))
    served = json.loads(registry.manifest(repository, "1").data)
    assert served["config"]["digest"] == image.config.digest


def test_a_layout_with_an_index_is_pushed_and_pulled_byte_for_byte(
    crane: Crane, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    value = index([random_image(seed, architecture=name) for name in ("amd64", "arm64")])
    write_oci_layout(tmp_path / "in", {"multi": value})

    crane("push", tmp_path / "in", crane.image(f"{repository}:multi"), "--index")
    crane("pull", "--format=oci", crane.image(f"{repository}:multi"), tmp_path / "out")

    for image in value.images:
        registry.assert_holds(repository, image.manifest.digest, image)
        for blob in (*image.blobs, image.manifest):
            assert (tmp_path / "out" / "blobs" / "sha256" / blob.digest[7:]).read_bytes() == blob.data


def test_a_pull_gives_the_files_that_were_put_in(
    crane: Crane, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    image = random_image(seed)
    registry.push(repository, "1", image)

    crane("export", crane.image(f"{repository}:1"), tmp_path / "files.tar")

    with tarfile.open(tmp_path / "files.tar") as tar:
        assert sorted(tar.getnames()) == [f"data-{seed * 1000}", f"data-{seed * 1000 + 1}"]


def test_digest_manifest_and_config_are_those_that_were_pushed(
    crane: Crane, registry: RegistryView, repository: str, seed: int
) -> None:
    image = random_image(seed)
    registry.push(repository, "1", image)
    reference = crane.image(f"{repository}:1")

    assert crane("digest", reference).out.strip() == image.manifest.digest
    assert crane("manifest", reference).out.encode() == image.manifest.data
    assert crane("config", reference).out.encode() == image.config.data


def test_tags_and_repositories_are_listed(crane: Crane, registry: RegistryView, repository: str, seed: int) -> None:
    image = random_image(seed)
    registry.push(repository, "b", image)
    registry.push(f"{repository}/nested", "1", image)
    registry.put_manifest(repository, "a", image.manifest)

    catalog = crane("catalog", crane.image("").rstrip("/")).out.split()

    assert crane("ls", crane.image(repository)).out.split() == ["a", "b"]
    assert [name for name in catalog if name.startswith(repository)] == [repository, f"{repository}/nested"]


def test_a_copy_into_another_repository_is_whole(
    crane: Crane, registry: RegistryView, repository: str, seed: int
) -> None:
    value = index([random_image(seed, architecture=name) for name in ("amd64", "arm64")])
    registry.push(repository, "multi", value)

    crane("copy", crane.image(f"{repository}:multi"), crane.image(f"{repository}/copy:multi"))

    registry.assert_holds(f"{repository}/copy", "multi", value)


def test_a_tag_is_set_moved_and_the_manifest_deleted(
    crane: Crane, registry: RegistryView, repository: str, seed: int
) -> None:
    first, second = random_image(seed), random_image(seed + 1)
    registry.push(repository, "1", first)
    registry.push(repository, "2", second)

    crane("tag", crane.image(f"{repository}:1"), "latest")
    assert registry.manifest(repository, "latest").digest == first.manifest.digest
    crane("tag", crane.image(f"{repository}:2"), "latest")
    assert registry.manifest(repository, "latest").digest == second.manifest.digest

    crane("delete", crane.image(f"{repository}@{second.manifest.digest}"))
    assert registry.tags(repository) == ["1"]
    crane("digest", crane.image(f"{repository}:latest"), fails=True)
    registry.assert_holds(repository, "1", first)


def test_a_layer_is_appended_to_an_image_in_the_registry(
    crane: Crane, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    base, added = random_image(seed), layer({"added": b"by crane"})
    registry.push(repository, "base", base)
    (tmp_path / "layer.tar").write_bytes(added.tar)

    crane(
        *("append", "--base", crane.image(f"{repository}:base")),
        *("--new_layer", tmp_path / "layer.tar", "--new_tag", crane.image(f"{repository}:more")),
    )

    crane("validate", "--remote", crane.image(f"{repository}:more"))
    config = json.loads(crane("config", crane.image(f"{repository}:more")).out)
    base_config = json.loads(base.config.data)
    assert config["rootfs"]["diff_ids"] == [*base_config["rootfs"]["diff_ids"], added.diff_id]
