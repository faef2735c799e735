"""A bundle is read by skopeo, oras, regctl, crane and docker as it is, and one crosses into a storage."""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.commands import run
from tests.clients.docker_engine import DockerEngine
from tests.clients.registry_view import RegistryView
from tests.images import Image, Index, artifact, index, random_image, write_oci_layout
from tests.live_server import cargohold_command, live_server
from tests.programs import need


@dataclass(frozen=True)
class Bundled:
    """A bundle of an image with an artifact attached, and of an index; `name` is their repository inside."""

    path: Path
    address: str
    name: str
    image: Image
    sbom: Image
    multi: Index


@pytest.fixture(scope="module")
def bundled(registry_address: str, session_salt: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundled]:
    seed = int(session_salt, 16)
    image, arm = random_image(seed), random_image(seed + 1, architecture="arm64")
    sbom, multi = artifact(b"what is inside", "text/sbom", subject=image.manifest), index([image, arm])
    repository, path = f"bundled-{session_salt}/app", tmp_path_factory.mktemp("bundle") / "out.tar"
    registry = RegistryView(registry_address)
    registry.push(repository, "1", image)
    registry.push(repository, "multi", multi)
    registry.push(repository, sbom.manifest.digest, sbom)
    registry.close()
    source = f"{registry_address}/{repository}"
    run(*cargohold_command(), "bundle", "create", f"{source}:1", f"{source}:multi", "-o", path)
    yield Bundled(path, registry_address, f"{registry_address.replace(':', '-')}/{repository}", image, sbom, multi)


def test_skopeo_reads_it(bundled: Bundled, registry: RegistryView, repository: str) -> None:
    for tag in ("1", "multi"):
        source = f"oci-archive:{bundled.path}:{bundled.name}:{tag}"
        target = f"docker://{bundled.address}/{repository}:{tag}"
        run(need("skopeo"), "copy", "--all", "--dest-tls-verify=false", source, target)

    registry.assert_holds(repository, "1", bundled.image)
    registry.assert_holds(repository, "multi", bundled.multi)


def test_oras_reads_it_with_what_refers_to_an_image(bundled: Bundled, registry: RegistryView, repository: str) -> None:
    target = f"{bundled.address}/{repository}"
    options = ("--recursive", "--to-plain-http", "--from-oci-layout-path", bundled.path)
    run(need("oras"), "copy", *options, f"{bundled.name}:1", f"{target}:1")
    run(need("oras"), "copy", *options, f"{bundled.name}:multi", f"{target}:multi")

    registry.assert_holds(repository, "1", bundled.image)
    registry.assert_holds(repository, bundled.sbom.manifest.digest, bundled.sbom)
    registry.assert_holds(repository, "multi", bundled.multi)


def test_regctl_reads_it(bundled: Bundled, registry: RegistryView, repository: str) -> None:
    host = ("--host", f"reg={bundled.address},tls=disabled")
    for tag in ("1", "multi"):
        target = f"{bundled.address}/{repository}:{tag}"
        run(need("regctl"), "image", "import", *host, "--name", f"{bundled.name}:{tag}", target, bundled.path)

    registry.assert_holds(repository, "1", bundled.image)
    registry.assert_holds(repository, "multi", bundled.multi)


def test_crane_reads_it_unpacked_as_a_layout_and_as_it_is_an_image_of_it(
    bundled: Bundled, registry: RegistryView, repository: str, tmp_path: Path
) -> None:
    with tarfile.open(bundled.path) as tar:
        tar.extractall(tmp_path / "layout", filter="data")

    run(need("crane"), "push", "--insecure", "--index", tmp_path / "layout", f"{bundled.address}/{repository}:all")
    run(need("crane"), "push", "--insecure", bundled.path, f"{bundled.address}/{repository}:1")

    registry.assert_holds(repository, bundled.multi.manifest.digest, bundled.multi)
    pushed = json.loads(registry.manifest(repository, "1").data)
    assert pushed["config"]["digest"] == bundled.image.config.digest
    assert [layer["digest"] for layer in pushed["layers"]] == [layer.digest for layer in bundled.image.layers]


def test_images_with_dockers_media_types_are_read_too(
    registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    image, out = random_image(seed, docker=True), tmp_path / "out.tar"
    source, name = f"{registry.address}/{repository}", f"{registry.address.replace(':', '-')}/{repository}"
    registry.push(repository, "1", image)
    run(*cargohold_command(), "bundle", "create", f"{source}:1", "-o", out)

    archive = f"docker-archive:{out}:{name}:1"  # skopeo looks for none but OCI's types in a layout
    run(need("skopeo"), "copy", "--dest-tls-verify=false", archive, f"docker://{source}-skopeo:1")
    run(need("oras"), "copy", "--to-plain-http", "--from-oci-layout-path", out, f"{name}:1", f"{source}-oras:1")
    host = ("--host", f"reg={registry.address},tls=disabled")
    run(need("regctl"), "image", "import", *host, "--name", f"{name}:1", f"{source}-regctl:1", out)

    registry.assert_holds(f"{repository}-oras", "1", image)
    registry.assert_holds(f"{repository}-regctl", "1", image)
    pushed = json.loads(registry.manifest(f"{repository}-skopeo", "1").data)
    assert pushed["config"]["digest"] == image.config.digest


def test_openssl_makes_keys_and_verifies_what_they_sign(bundled: Bundled, tmp_path: Path) -> None:
    openssl, key, public = need("openssl"), tmp_path / "a.key", tmp_path / "a.pub"
    run(openssl, "genpkey", "-algorithm", "ed25519", "-out", key)
    run(openssl, "pkey", "-in", key, "-pubout", "-out", public)
    image = f"{bundled.address}/{bundled.name.partition('/')[2]}:1"
    run(*cargohold_command(), "bundle", "create", image, "-o", tmp_path / "out.tar", "--sign", key)
    run("tar", "-C", tmp_path, "-xf", tmp_path / "out.tar", "cargohold-bundle.json", "cargohold-bundle.sig")

    signed = ("-in", tmp_path / "cargohold-bundle.json", "-sigfile", tmp_path / "cargohold-bundle.sig")
    verified = run(openssl, "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", *signed)

    assert "Signature Verified Successfully" in verified.text
    run(*cargohold_command(), "bundle", "verify", tmp_path / "out.tar", "--key", public)


def test_docker_loads_it(bundled: Bundled, docker: DockerEngine) -> None:
    docker("load", "--input", bundled.path)

    assert docker("image", "inspect", "--format", "{{.Id}}", f"{bundled.name}:1").out.strip() == (
        bundled.image.config.digest
    )


def test_it_crosses_into_a_storage_that_is_served(bundled: Bundled, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with live_server(tmp_path / "data") as server:
        run(*cargohold_command(), "bundle", "load", bundled.path, "--root", server.root, "--prefix", "mirror/")
        view = RegistryView(server.address)
        name = f"mirror/{bundled.name}"

        view.assert_holds(name, "1", bundled.image)
        view.assert_holds(name, "multi", bundled.multi)
        found = view.http.get(f"/v2/{name}/referrers/{bundled.image.manifest.digest}").json()["manifests"]
        view.close()
    assert [entry["digest"] for entry in found] == [bundled.sbom.manifest.digest]


@pytest.mark.parametrize("program", ["skopeo", "oras", "regctl"])
def test_archives_of_other_programs_are_loaded(program: str, registry: RegistryView, seed: int, tmp_path: Path) -> None:
    image, archive = random_image(seed), tmp_path / "theirs.tar"
    source = f"{registry.address}/theirs-{seed}"
    registry.push(f"theirs-{seed}", "1", image)
    if program == "skopeo":
        run(need(program), "copy", "--src-tls-verify=false", f"docker://{source}:1", f"oci-archive:{archive}:1")
    elif program == "regctl":
        run(need(program), "image", "export", "--host", f"reg={registry.address},tls=disabled", f"{source}:1", archive)
    else:
        run(need(program), "copy", "--from-plain-http", "--to-oci-layout", f"{source}:1", f"{tmp_path}/layout:1")
        run("tar", "-C", tmp_path / "layout", "-cf", archive, ".")

    run(*cargohold_command(), "bundle", "load", archive, "--url", registry.address, "--as", f"loaded/{program}-{seed}")

    name = f"{source.replace(':', '-')}" if program == "regctl" else f"loaded/{program}-{seed}"
    registry.assert_holds(name, "1", image)


def test_a_layout_that_tests_have_made_is_loaded_by_its_names(
    tmp_path: Path, registry: RegistryView, seed: int
) -> None:
    image = random_image(seed)
    write_oci_layout(tmp_path / "layout", {f"named-{seed}/app:1": image})
    run("tar", "-C", tmp_path / "layout", "-cf", tmp_path / "l.tar", "oci-layout", "index.json", "blobs")

    run(*cargohold_command(), "bundle", "load", tmp_path / "l.tar", "--url", registry.address)

    registry.assert_holds(f"named-{seed}/app", "1", image)
