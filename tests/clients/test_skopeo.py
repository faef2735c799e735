"""skopeo copies, inspects, lists, deletes and synchronises."""

import json
from pathlib import Path

import pytest

from tests.clients.commands import Result, run
from tests.clients.registry_view import RegistryView
from tests.images import DOCKER_MANIFEST, OCI_MANIFEST, Index, index, random_image, write_oci_layout
from tests.programs import need


class Skopeo:
    """The `skopeo` command, told that the registry speaks plain HTTP."""

    def __init__(self, address: str) -> None:
        self._program = need("skopeo")
        self._address = address

    def image(self, name: str) -> str:
        """A reference to an image in the registry under test."""
        return f"docker://{self._address}/{name}"

    def copy(self, source: str, target: str, *options: str) -> Result:
        """Copy from anywhere to anywhere."""
        plain = ("--src-tls-verify=false", "--dest-tls-verify=false")
        return run(self._program, "copy", *plain, *options, source, target)

    def __call__(self, command: str, *arguments: str, fails: bool = False) -> Result:
        """Run `skopeo COMMAND --tls-verify=false ARGUMENTS`."""
        return run(self._program, command, "--tls-verify=false", *arguments, fails=fails)

    def sync(self, source_kind: str, source: str, target_kind: str, target: str) -> Result:
        """Run `skopeo sync` between a registry and a directory, all platforms."""
        kinds = (f"--src={source_kind}", f"--dest={target_kind}")
        return run(
            self._program, "sync", *kinds, "--all", "--src-tls-verify=false", "--dest-tls-verify=false", source, target
        )


@pytest.fixture
def skopeo(registry: RegistryView) -> Skopeo:
    return Skopeo(registry.address)


def platforms(seed: int, *, docker: bool = False) -> Index:
    return index([random_image(seed, docker=docker, architecture=name) for name in ("amd64", "arm64")], docker=docker)


def test_a_layout_is_copied_in_and_out_byte_for_byte(
    skopeo: Skopeo, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    image = random_image(seed)
    write_oci_layout(tmp_path / "in", {"1": image})

    skopeo.copy(f"oci:{tmp_path}/in:1", skopeo.image(f"{repository}:1"))
    skopeo.copy(skopeo.image(f"{repository}:1"), f"oci:{tmp_path}/out:1")

    registry.assert_holds(repository, "1", image)
    for blob in (*image.blobs, image.manifest):
        assert (tmp_path / "out" / "blobs" / "sha256" / blob.digest[7:]).read_bytes() == blob.data


def test_a_directory_is_copied_in_and_out_byte_for_byte(
    skopeo: Skopeo, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    image = random_image(seed, docker=True)
    registry.push(repository, "1", image)

    skopeo.copy(skopeo.image(f"{repository}:1"), f"dir:{tmp_path}/dir")
    skopeo.copy(f"dir:{tmp_path}/dir", skopeo.image(f"{repository}/again:1"))

    assert (tmp_path / "dir" / "manifest.json").read_bytes() == image.manifest.data
    registry.assert_holds(f"{repository}/again", "1", image)


@pytest.mark.parametrize("to_oci", [True, False], ids=["to-oci", "to-docker"])
def test_an_image_is_converted_from_one_dialect_to_the_other(
    skopeo: Skopeo, registry: RegistryView, repository: str, seed: int, to_oci: bool
) -> None:
    image = random_image(seed, docker=to_oci)
    registry.push(repository, "1", image)
    wanted = "--format=oci" if to_oci else "--format=v2s2"

    skopeo.copy(skopeo.image(f"{repository}:1"), skopeo.image(f"{repository}:converted"), wanted)

    converted = registry.manifest(repository, "converted")
    assert converted.media_type == (OCI_MANIFEST if to_oci else DOCKER_MANIFEST)
    assert [entry["digest"] for entry in json.loads(converted.data)["layers"]] == [each.digest for each in image.layers]


@pytest.mark.parametrize("docker", [False, True], ids=["index", "manifest-list"])
def test_all_platforms_of_an_index_are_copied(
    skopeo: Skopeo, registry: RegistryView, repository: str, seed: int, docker: bool
) -> None:
    value = platforms(seed, docker=docker)
    registry.push(repository, "multi", value)

    skopeo.copy(skopeo.image(f"{repository}:multi"), skopeo.image(f"{repository}/copy:multi"), "--all")

    registry.assert_holds(f"{repository}/copy", "multi", value)


def test_inspect_shows_the_image_and_its_tags(
    skopeo: Skopeo, registry: RegistryView, repository: str, seed: int
) -> None:
    image = random_image(seed)
    registry.push(repository, "1", image)
    registry.put_manifest(repository, "2", image.manifest)

    seen = json.loads(skopeo("inspect", skopeo.image(f"{repository}:1")).out)

    assert seen["Digest"] == image.manifest.digest
    assert seen["Layers"] == [each.digest for each in image.layers]
    assert seen["RepoTags"] == ["1", "2"]


def test_inspect_raw_gives_the_bytes_that_were_pushed(
    skopeo: Skopeo, registry: RegistryView, repository: str, seed: int
) -> None:
    value = platforms(seed)
    registry.push(repository, "multi", value)

    raw = skopeo("inspect", "--raw", skopeo.image(f"{repository}:multi"))

    assert raw.out.encode() == value.manifest.data


def test_every_one_of_many_tags_is_listed_once_and_in_order(
    skopeo: Skopeo, registry: RegistryView, repository: str, seed: int
) -> None:
    image = random_image(seed, layers=1, layer_size=64)
    registry.push(repository, "v0000", image)
    tags = [f"v{number:04}" for number in range(1200)]
    for start in range(0, len(tags), 100):
        registry.tag(repository, tags[start : start + 100], image.manifest)

    listed = json.loads(skopeo("list-tags", skopeo.image(repository)).out)

    assert listed["Tags"] == tags
    registry.delete_manifest(repository, image.manifest.digest)  # other tests look at all that there is


def test_a_deleted_image_is_gone_and_another_one_stays(
    skopeo: Skopeo, registry: RegistryView, repository: str, seed: int
) -> None:
    going, staying = random_image(seed), random_image(seed + 1)
    registry.push(repository, "going", going)
    registry.push(repository, "staying", staying)

    skopeo("delete", skopeo.image(f"{repository}:going"))

    skopeo("inspect", skopeo.image(f"{repository}:going"), fails=True)
    assert not registry.has_manifest(repository, going.manifest.digest)
    registry.assert_holds(repository, "staying", staying)


def test_a_repository_is_synchronised_to_a_directory_and_into_another_registry_path(
    skopeo: Skopeo, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    image, multi = random_image(seed), platforms(seed + 1)
    registry.push(repository, "1", image)
    registry.push(repository, "multi", multi)

    skopeo.sync("docker", f"{registry.address}/{repository}", "dir", str(tmp_path))
    skopeo.sync("dir", str(tmp_path), "docker", f"{registry.address}/{repository}/mirror")

    name = repository.rpartition("/")[2]
    registry.assert_holds(f"{repository}/mirror/{name}", "1", image)
    registry.assert_holds(f"{repository}/mirror/{name}", "multi", multi)
