"""regctl copies, pushes blobs in small chunks, deletes tags without their manifests and lists referrers."""

import json
from pathlib import Path

import pytest

from tests.clients.commands import Result, run
from tests.clients.registry_view import RegistryView
from tests.images import Content, artifact, index, random_bytes, random_image, write_oci_layout
from tests.programs import need

SBOM = "application/vnd.example.sbom"
CHUNK = 64 * 1024


class Regctl:
    """The `regctl` command with a configuration of its own: plain HTTP, blobs in chunks of 64 KiB."""

    def __init__(self, address: str, directory: Path) -> None:
        self._program = need("regctl")
        self._address = address
        self._environment = {"REGCTL_CONFIG": str(directory / "regctl.json")}
        chunks = (f"--blob-chunk={CHUNK}", f"--blob-max={CHUNK}")
        self("registry", "set", "--skip-check", "--tls=disabled", *chunks, address)

    def name(self, name: str) -> str:
        """A reference into the registry under test."""
        return f"{self._address}/{name}"

    def __call__(self, *arguments: str | Path, stdin: Path | None = None, fails: bool = False) -> Result:
        """Run `regctl ARGUMENTS`."""
        return run(self._program, *arguments, env=self._environment, stdin=stdin, fails=fails)


@pytest.fixture
def regctl(registry: RegistryView, tmp_path: Path) -> Regctl:
    return Regctl(registry.address, tmp_path)


def test_a_blob_that_is_put_in_chunks_comes_back_whole(
    regctl: Regctl, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    blob = Content("application/octet-stream", random_bytes(10 * CHUNK + 123, seed))
    (tmp_path / "blob").write_bytes(blob.data)

    put = regctl("--verbosity=trace", "blob", "put", regctl.name(repository), stdin=tmp_path / "blob")

    assert blob.digest in put.out
    assert put.err.count("PATCH") >= 10, "regctl did not send chunks"
    assert registry.blob(repository, blob.digest) == blob.data


def test_an_image_is_copied_in_from_a_layout_and_out_again(
    regctl: Regctl, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    value = index([random_image(seed, architecture=name, layer_size=3 * CHUNK) for name in ("amd64", "arm64")])
    write_oci_layout(tmp_path / "in", {"multi": value})

    regctl("image", "copy", f"ocidir://{tmp_path}/in:multi", regctl.name(f"{repository}:multi"))
    regctl("image", "copy", regctl.name(f"{repository}:multi"), f"ocidir://{tmp_path}/out:multi")

    registry.assert_holds(repository, "multi", value)
    for image in value.images:
        for blob in (*image.blobs, image.manifest):
            assert (tmp_path / "out" / "blobs" / "sha256" / blob.digest[7:]).read_bytes() == blob.data


def test_an_image_is_copied_with_its_referrers_into_another_repository(
    regctl: Regctl, registry: RegistryView, repository: str, seed: int
) -> None:
    image = random_image(seed)
    sbom = artifact(b"sbom", SBOM, subject=image.manifest)
    registry.push(repository, "1", image)
    registry.push(repository, sbom.manifest.digest, sbom)

    regctl("image", "copy", "--referrers", regctl.name(f"{repository}:1"), regctl.name(f"{repository}/copy:1"))

    registry.assert_holds(f"{repository}/copy", "1", image)
    listed = regctl("artifact", "list", "--format", "{{json .}}", regctl.name(f"{repository}/copy:1"))
    assert [entry["digest"] for entry in json.loads(listed.out)["descriptors"]] == [sbom.manifest.digest]


def test_referrers_are_listed_and_filtered_by_type(
    regctl: Regctl, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    image = random_image(seed)
    registry.push(repository, "1", image)
    subject = regctl.name(f"{repository}:1")
    (tmp_path / "payload").write_bytes(b"payload")
    for artifact_type in (SBOM, "application/vnd.example.other"):
        regctl("artifact", "put", "--artifact-type", artifact_type, "--subject", subject, stdin=tmp_path / "payload")

    every = json.loads(regctl("artifact", "list", "--format", "{{json .}}", subject).out)
    some = json.loads(regctl("artifact", "list", "--filter-artifact-type", SBOM, "--format", "{{json .}}", subject).out)

    assert {entry["artifactType"] for entry in every["descriptors"]} == {SBOM, "application/vnd.example.other"}
    assert [entry["artifactType"] for entry in some["descriptors"]] == [SBOM]
    assert registry.tags(repository) == ["1"], "a fallback tag was needed: the referrers API did not answer"


def test_a_deleted_tag_leaves_the_manifest_and_the_other_tags(
    regctl: Regctl, registry: RegistryView, repository: str, seed: int
) -> None:
    image = random_image(seed)
    registry.push(repository, "going", image)
    registry.put_manifest(repository, "staying", image.manifest)

    regctl("tag", "delete", regctl.name(f"{repository}:going"))

    assert regctl("tag", "ls", regctl.name(repository)).out.split() == ["staying"]
    assert not registry.has_manifest(repository, "going")
    registry.assert_holds(repository, "staying", image)


def test_a_manifest_is_put_headed_fetched_and_deleted(
    regctl: Regctl, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    image = random_image(seed)
    for blob in image.blobs:
        registry.put_blob(repository, blob)
    (tmp_path / "manifest.json").write_bytes(image.manifest.data)
    reference = regctl.name(f"{repository}:1")

    regctl(
        *("manifest", "put", "--content-type", image.manifest.media_type, reference), stdin=tmp_path / "manifest.json"
    )
    head = regctl("manifest", "head", reference)
    body = regctl("manifest", "get", "--format", "raw-body", reference)
    registry.assert_holds(repository, "1", image)
    regctl("manifest", "delete", regctl.name(f"{repository}@{image.manifest.digest}"))

    assert head.out.strip() == image.manifest.digest
    assert body.out.encode() == image.manifest.data
    assert not registry.has_manifest(repository, "1")


def test_repositories_are_listed(regctl: Regctl, registry: RegistryView, repository: str, seed: int) -> None:
    registry.push(repository, "1", random_image(seed))

    listed = regctl("repo", "ls", "--limit", "10000", registry.address)

    assert repository in listed.out.split()


def test_a_blob_is_mounted_from_another_repository_and_deleted(
    regctl: Regctl, registry: RegistryView, repository: str, seed: int
) -> None:
    blob = Content("application/octet-stream", random_bytes(1000, seed))
    registry.put_blob(repository, blob)

    regctl("blob", "copy", regctl.name(repository), regctl.name(f"{repository}/copy"), blob.digest)
    assert registry.blob(f"{repository}/copy", blob.digest) == blob.data
    regctl("blob", "delete", regctl.name(f"{repository}/copy"), blob.digest)

    assert not registry.has_blob(f"{repository}/copy", blob.digest)
    assert registry.blob(repository, blob.digest) == blob.data
