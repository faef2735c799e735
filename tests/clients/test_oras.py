"""oras pushes artifacts, attaches and discovers referrers, and handles single blobs and manifests."""

import json
from pathlib import Path

import pytest

from tests.clients.commands import Result, run
from tests.clients.registry_view import RegistryView
from tests.images import Content, artifact, index, random_bytes, random_image
from tests.programs import need

SBOM = "application/vnd.example.sbom"
SIGNATURE = "application/vnd.example.signature"


class Oras:
    """The `oras` command, told that the registry speaks plain HTTP; runs in a directory of its own."""

    def __init__(self, address: str, directory: Path) -> None:
        self._program = need("oras")
        self._address = address
        self._directory = directory

    def name(self, name: str) -> str:
        """A reference into the registry under test."""
        return f"{self._address}/{name}"

    def __call__(self, *arguments: str, fails: bool = False) -> Result:
        """Run `oras ARGUMENTS --plain-http`."""
        return run(self._program, *arguments, "--plain-http", cwd=self._directory, fails=fails)

    def copy(self, source: str, target: str) -> Result:
        """Copy with all referrers."""
        return run(self._program, "cp", "-r", "--from-plain-http", "--to-plain-http", source, target)


@pytest.fixture
def oras(registry: RegistryView, tmp_path: Path) -> Oras:
    return Oras(registry.address, tmp_path)


def attach(oras: Oras, tmp_path: Path, reference: str, artifact_type: str, data: bytes) -> str:
    """Attach a file through the referrers API; return the digest of the new manifest."""
    (tmp_path / "payload").write_bytes(data)
    done = oras(
        *("attach", "--distribution-spec", "v1.1-referrers-api", "--artifact-type", artifact_type),
        *("--format", "json", reference, "payload:application/octet-stream"),
    )
    return str(json.loads(done.out)["digest"])


def discover(oras: Oras, reference: str, *options: str) -> dict[str, str]:
    """Digest to artifact type of all direct referrers that oras finds through the referrers API."""
    found = oras(
        *("discover", "--distribution-spec", "v1.1-referrers-api", "--depth", "1", "--format", "json"),
        *options,
        reference,
    )
    return {entry["digest"]: entry["artifactType"] for entry in json.loads(found.out)["referrers"]}


def test_an_artifact_is_pushed_and_its_files_pulled(
    oras: Oras, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    data = random_bytes(300_000, seed)
    (tmp_path / "model.bin").write_bytes(data)
    oras("push", "--artifact-type", SBOM, oras.name(f"{repository}:1"), "model.bin:application/vnd.example.model")

    oras("pull", "--output", "pulled", oras.name(f"{repository}:1"))

    assert (tmp_path / "pulled" / "model.bin").read_bytes() == data
    assert json.loads(registry.manifest(repository, "1").data)["artifactType"] == SBOM


def test_what_is_attached_is_discovered_and_filtered_by_type(
    oras: Oras, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    image = random_image(seed)
    registry.push(repository, "1", image)
    reference = oras.name(f"{repository}:1")
    assert discover(oras, reference) == {}

    sbom = attach(oras, tmp_path, reference, SBOM, b"sbom")
    signature = attach(oras, tmp_path, reference, SIGNATURE, b"signature")

    assert discover(oras, reference) == {sbom: SBOM, signature: SIGNATURE}
    assert discover(oras, reference, "--artifact-type", SIGNATURE) == {signature: SIGNATURE}


def test_a_deleted_referrer_is_no_longer_discovered(
    oras: Oras, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    registry.push(repository, "1", random_image(seed))
    reference = oras.name(f"{repository}:1")
    going = attach(oras, tmp_path, reference, SBOM, b"going")
    staying = attach(oras, tmp_path, reference, SBOM, b"staying")

    oras("manifest", "delete", "--force", oras.name(f"{repository}@{going}"))

    assert discover(oras, reference) == {staying: SBOM}


def test_a_manifest_is_fetched_as_it_was_pushed(
    oras: Oras, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    value = index([random_image(seed, architecture=name) for name in ("amd64", "arm64")])
    registry.push(repository, "multi", value)
    chosen = value.images[1].manifest

    whole = oras("manifest", "fetch", oras.name(f"{repository}:multi"))
    one = oras("manifest", "fetch", "--platform", "linux/arm64", oras.name(f"{repository}:multi"))
    described = oras("manifest", "fetch", "--descriptor", oras.name(f"{repository}:multi"))

    assert whole.out.encode() == value.manifest.data
    assert one.out.encode() == chosen.data
    assert json.loads(described.out)["digest"] == value.manifest.digest


def test_a_manifest_is_pushed_with_several_tags(
    oras: Oras, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    image = artifact(random_bytes(100, seed), SBOM)
    for blob in image.blobs:
        registry.put_blob(repository, blob)
    (tmp_path / "manifest.json").write_bytes(image.manifest.data)

    oras("manifest", "push", oras.name(f"{repository}:a,b,c"), "manifest.json")

    assert registry.tags(repository) == ["a", "b", "c"]
    registry.assert_holds(repository, "c", image)
    assert oras("repo", "tags", oras.name(repository)).out.split() == ["a", "b", "c"]
    assert oras("resolve", oras.name(f"{repository}:b")).out.strip() == image.manifest.digest


def test_a_blob_is_pushed_fetched_and_deleted(
    oras: Oras, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    blob = Content("application/octet-stream", random_bytes(200_000, seed))
    (tmp_path / "blob").write_bytes(blob.data)
    reference = oras.name(f"{repository}@{blob.digest}")

    oras("blob", "push", reference, "blob")
    oras("blob", "fetch", "--output", "fetched", reference)
    oras("blob", "delete", "--force", reference)

    assert (tmp_path / "fetched").read_bytes() == blob.data
    assert not registry.has_blob(repository, blob.digest)
    oras("blob", "fetch", "--output", "again", reference, fails=True)


def test_a_copy_with_referrers_brings_the_whole_graph(
    oras: Oras, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    image = random_image(seed)
    registry.push(repository, "1", image)
    source, target = oras.name(f"{repository}:1"), oras.name(f"{repository}/copy:1")
    sbom = attach(oras, tmp_path, source, SBOM, b"sbom")
    signature = attach(oras, tmp_path, oras.name(f"{repository}@{sbom}"), SIGNATURE, b"signed sbom")

    oras.copy(source, target)

    registry.assert_holds(f"{repository}/copy", "1", image)
    assert discover(oras, target) == {sbom: SBOM}
    assert discover(oras, oras.name(f"{repository}/copy@{sbom}")) == {signature: SIGNATURE}
