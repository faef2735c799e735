"""`cargohold sync` between running registries: Debian's docker-registry, ours behind logins, and the storage."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from registry.content.digest import Digest
from registry.content.names import RepositoryName, Tag
from registry.mirror.credentials import Credentials, CredentialSource, Given
from registry.mirror.endpoints import Endpoint
from registry.mirror.upstream import Upstream
from registry.mirror.upstream_options import UpstreamOptions
from tests.clients.registry_view import RegistryView
from tests.guarded import PASSWORDS, Guarded
from tests.images import OCI_INDEX, OCI_MANIFEST, Image, Index, artifact, index, random_image, write_oci_layout
from tests.live_server import LiveServer, cargohold_command, live_server
from tests.mirror.places import blocks, push
from tests.mirror.scripted import Asked, Says, scripted
from tests.unit.cli.conftest import Cargohold

_ALICE = Given(Credentials("alice", PASSWORDS["alice"]))


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A registry of ours over the storage that is synchronised."""
    with live_server(tmp_path_factory.mktemp("ours")) as server:
        yield server


def _put(address: str, name: str, value: Image | Index, *tags: str, login: CredentialSource | None = None) -> None:
    async def put() -> None:
        async with Upstream(UpstreamOptions(Endpoint.parse(address), login or Given())) as upstream:
            await push(upstream, RepositoryName.parse(name), value, *tags)

    asyncio.run(put())


def _get(address: str, name: str, tag: str, login: CredentialSource) -> bytes:
    async def get() -> bytes:
        async with Upstream(UpstreamOptions(Endpoint.parse(address), login)) as upstream:
            return (await upstream.manifest(RepositoryName.parse(name), Tag(tag))).data

    return asyncio.run(get())


def _sync(cargohold: Cargohold, *arguments: str | Path, code: int = 0) -> Mapping[str, Any]:
    ended = cargohold("sync", *arguments, "--json", "--quiet")
    assert ended.code == code, ended.out + ended.err
    found: Mapping[str, Any] = json.loads(ended.out)
    return found


def test_what_another_registry_has_is_served_here_and_a_second_run_copies_nothing(
    cargohold: Cargohold, old: RegistryView, ours: LiveServer
) -> None:
    value = index([random_image(n, architecture=name) for n, name in ((1, "amd64"), (2, "arm64"))])
    signature = artifact(b"signature", "application/vnd.test", subject=value.manifest)
    _put(old.address, "pull/app", value, "v1", "latest")
    _put(old.address, "pull/app", signature)

    first = _sync(cargohold, f"{old.address}/pull/app", "--to", "mirror", "--root", ours.root)
    second = _sync(cargohold, f"{old.address}/pull/app", "--to", "mirror", "--root", ours.root)

    assert [(image["tags"], image["status"]) for image in first["images"]] == [(["latest", "v1"], "copied")]
    assert (second["unchanged"], second["copied"], second["bytes"]) == (1, 0, 0)
    view = RegistryView(ours.address)
    for tag in ("v1", "latest"):
        assert view.manifest("mirror/pull/app", tag).data == value.manifest.data
    for image in value.images:
        for content in image.blobs:
            assert view.blob("mirror/pull/app", content.digest) == content.data
    referrers = view.http.get(f"/v2/mirror/pull/app/referrers/{value.manifest.digest}").json()["manifests"]
    assert [entry["digest"] for entry in referrers] == [signature.manifest.digest]
    view.close()


def test_tags_are_chosen_by_pattern_range_and_number(cargohold: Cargohold, old: RegistryView, tmp_path: Path) -> None:
    for number, tag in enumerate(("1.0.0", "1.1.0", "1.2.0", "2.0.0", "2.1.0-rc1", "edge")):
        _put(old.address, "choose/app", random_image(10 + number, layers=1, layer_size=1000), tag)
    source = f"{old.address}/choose/app"

    images = _sync(
        cargohold, source, "--semver", "<3", "--newest", "2", "--exclude", "*-rc*", "--root", tmp_path, "--dry-run"
    )["images"]

    assert {tag for image in images for tag in image["tags"]} == {"2.0.0", "1.2.0"}
    assert not (tmp_path / "docker").exists()


def test_one_platform_of_an_index_is_served(cargohold: Cargohold, old: RegistryView, ours: LiveServer) -> None:
    images = [random_image(n, architecture=name) for n, name in ((20, "amd64"), (21, "arm64"))]
    value = index(images)
    _put(old.address, "platforms/app", value, "v1")

    _sync(cargohold, f"{old.address}/platforms/app:v1", "--platform", "linux/arm64", "--root", ours.root)

    view = RegistryView(ours.address)
    assert view.manifest("platforms/app", "v1").data == value.manifest.data
    assert view.manifest("platforms/app", images[1].manifest.digest).data == images[1].manifest.data
    assert view.http.get(f"/v2/platforms/app/manifests/{images[0].manifest.digest}").status_code == 404
    again = _sync(cargohold, "platforms/app", "--to", f"{ours.address}/again", "--root", ours.root, code=1)
    assert "refuses manifest" in again["images"][0]["error"]  # it would be an index with a hole, which rules forbid
    view.close()


def test_the_storage_is_pushed_to_a_registry_behind_logins_as_the_settings_say(
    cargohold: Cargohold, behind_logins: Guarded, ours: LiveServer, tmp_path: Path
) -> None:
    image = random_image(30)
    _put(ours.address, "push/app", image, "v1")
    settings = tmp_path / "cargohold.yml"
    password = tmp_path / "password"
    password.write_text(PASSWORDS["alice"])
    settings.write_text(
        f"storage: {{root: {ours.root}}}\n"
        f"upstreams: [{{name: there, url: '{behind_logins.address}', username: alice, password_file: {password}}}]\n"
        "sync:\n"
        f"  copies: [{{source: storage, target: '{behind_logins.address}/team', repositories: ['push/*']}}]\n"
    )

    report = _sync(cargohold, "--config", settings)

    assert [(image["target"], image["status"]) for image in report["images"]] == [
        (f"{behind_logins.address}/team/push/app", "copied")
    ]
    assert _get(behind_logins.address, "team/push/app", "v1", _ALICE) == image.manifest.data


def test_from_one_registry_to_another_signatures_are_found_there_too(
    cargohold: Cargohold, ours: LiveServer, old: RegistryView, tmp_path: Path
) -> None:
    value = index([random_image(n, architecture=name) for n, name in ((35, "amd64"), (36, "arm64"))])
    signature = artifact(b"signature", "application/vnd.test", subject=value.manifest)
    _put(ours.address, "signed/app", value, "v1")
    _put(ours.address, "signed/app", signature)
    arguments = (f"{ours.address}/signed/app", "--to", f"{old.address}/far", "--root", tmp_path)

    first, second = _sync(cargohold, *arguments), _sync(cargohold, *arguments)

    assert (first["copied"], second["unchanged"]) == (1, 1)
    assert old.manifest("far/signed/app", "v1").data == value.manifest.data
    tagged = json.loads(old.manifest("far/signed/app", value.manifest.digest.replace(":", "-")).data)["manifests"]
    assert [entry["digest"] for entry in tagged] == [signature.manifest.digest]
    assert old.blob("far/signed/app", signature.layers[0].digest) == b"signature"
    assert not (tmp_path / "docker").exists()


def test_a_file_of_skopeo_is_read_as_it_is(
    cargohold: Cargohold, behind_logins: Guarded, old: RegistryView, tmp_path: Path
) -> None:
    for number, tag in enumerate(("1.10", "1.9", "2.0")):
        _put(behind_logins.address, "team/redis", random_image(40 + number, layers=1), tag, login=_ALICE)
    for number, tag in enumerate(("1.13.1-perl", "1.13.2-perl", "1.13.2")):
        _put(old.address, "skopeo/nginx", random_image(50 + number, layers=1), tag)
    _put(old.address, "skopeo/busybox", random_image(60, layers=1), "a", "b")
    file = tmp_path / "sync.yml"
    file.write_text(
        f"""
{behind_logins.address}:
    images:
        team/redis:
            - 1.10
            - "2.0"
    credentials:
        username: alice
        password: {PASSWORDS["alice"]}
{old.address}:
    tls-verify: false
    images:
        skopeo/busybox: []
    images-by-tag-regex:
        skopeo/nginx: ^1\\.13\\.[12]-perl$
"""
    )

    report = _sync(cargohold, "--from-file", file, "--to", "mirror/{base}", "--root", tmp_path / "data")

    assert {(image["target"], *image["tags"]) for image in report["images"]} == {
        ("mirror/redis", "1.10"),
        ("mirror/redis", "2.0"),
        ("mirror/busybox", "a", "b"),
        ("mirror/nginx", "1.13.1-perl"),
        ("mirror/nginx", "1.13.2-perl"),
    }


def test_all_repositories_that_the_login_may_see_are_brought(
    cargohold: Cargohold, behind_logins: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("team/all/one", "team/all/two/deep", "public/three")):
        _put(behind_logins.address, name, random_image(65 + number, layers=1), "v1", login=_ALICE)
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {behind_logins.address: {"username": "alice", "password": PASSWORDS["alice"]}}})
    )
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    report = _sync(cargohold, f"{behind_logins.address}/team/all/**:v*", "--root", tmp_path / "data")

    assert {image["target"] for image in report["images"]} == {"team/all/one", "team/all/two/deep"}


def test_a_layout_is_loaded_and_what_it_has_is_served(cargohold: Cargohold, ours: LiveServer, tmp_path: Path) -> None:
    image = random_image(70)
    write_oci_layout(tmp_path / "layout", {"v1": image})

    report = _sync(cargohold, f"oci:{tmp_path / 'layout'}", "--to", "loaded", "--root", ours.root)

    assert [image["target"] for image in report["images"]] == ["loaded/layout"]
    view = RegistryView(ours.address)
    assert view.manifest("loaded/layout", "v1").data == image.manifest.data
    view.close()


def test_a_bundle_is_loaded_with_the_names_that_it_gives(
    cargohold: Cargohold, ours: LiveServer, tmp_path: Path
) -> None:
    image = random_image(75)
    _put(ours.address, "bundled/app", image, "v1")
    made = cargohold("bundle", "create", "bundled/app:v1", "--root", ours.root, "-o", tmp_path / "out.tar", "--quiet")
    assert made.code == 0, made.err

    report = _sync(cargohold, f"oci:{tmp_path / 'out.tar'}", "--to", "far", "--root", tmp_path / "data")

    assert [(image["target"], image["tags"]) for image in report["images"]] == [("far/bundled/app", ["v1"])]


def test_killed_in_the_middle_it_shows_no_tag_and_goes_on_the_next_time(cargohold: Cargohold, tmp_path: Path) -> None:
    image = random_image(77, layers=3)
    answers = {f"/v2/app/blobs/{blob.digest}": Says(200, blob.data) for blob in image.blobs}
    answers["/v2/app/manifests/v1"] = Says(
        200, image.manifest.data, {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": image.manifest.digest}
    )
    answers[f"/v2/app/manifests/{image.manifest.digest}"] = answers["/v2/app/manifests/v1"]
    last = f"/v2/app/blobs/{image.layers[-1].digest}"
    running: list[subprocess.Popen[bytes]] = []

    def script(asked: Asked) -> Says:
        if asked.path == last and running:
            running.pop().kill()
        return answers.get(asked.path, Says(404))

    with scripted(script) as registry:
        command = ["sync", f"{registry.address}/app:v1", "--root", str(tmp_path / "data"), "--quiet", "--jobs", "1"]
        process = subprocess.Popen([*cargohold_command(), *command])
        running.append(process)
        assert process.wait(60) == -signal.SIGKILL
        assert list((tmp_path / "data").glob("docker/**/_manifests")) == []
        before = len(registry.asked)

        report = _sync(cargohold, *command[1:])

    assert [image["status"] for image in report["images"]] == ["copied"]
    blobs = [path for path in (asked.path for asked in registry.asked[before:]) if "/blobs/" in path]
    assert blobs == [last]


def test_one_image_that_fails_is_named_and_the_others_are_brought(
    cargohold: Cargohold, old: RegistryView, tmp_path: Path
) -> None:
    broken = random_image(80)
    _put(old.address, "fail/app", random_image(81), "good")
    _put(old.address, "fail/app", broken, "bad")
    old.http.delete(f"/v2/fail/app/blobs/{broken.layers[0].digest}").raise_for_status()

    report = _sync(cargohold, f"{old.address}/fail/app", f"{old.address}/fail/nowhere", "--root", tmp_path, code=1)

    there = {(image["source"].partition("/")[2], *image["tags"], image["status"]) for image in report["images"]}
    assert there == {
        ("fail/app", "good", "copied"),
        ("fail/app", "bad", "failed"),
        ("fail/nowhere", "failed"),
    }


def test_dockers_logins_are_used(
    cargohold: Cargohold, behind_logins: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {behind_logins.address: {"username": "alice", "password": PASSWORDS["alice"]}}})
    )

    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    ended = cargohold("sync", f"{behind_logins.address}/team/none", "--root", tmp_path)

    assert f"failed: {behind_logins.address}/team/none: there is no repository team/none" in ended.out
    assert "cargohold: 1 images, or lists of them, failed\n" in ended.err
    assert ended.code == 1


def test_a_server_synchronises_by_itself(old: RegistryView, tmp_path: Path) -> None:
    image = random_image(90, layers=1)
    _put(old.address, "auto/app", image, "v1")
    settings = tmp_path / "cargohold.yml"
    settings.write_text(
        f"sync: {{interval_seconds: 0.5, copies: [{{source: '{old.address}', target: m, repositories: [auto/app]}}]}}\n"
    )

    with live_server(tmp_path, arguments=["--config", str(settings)]) as server:
        deadline = time.monotonic() + 50
        while "sync brought 1 of 1 images" not in server.tail() and time.monotonic() < deadline:
            time.sleep(0.05)  # between two looks at another process
        view = RegistryView(server.address)
        assert view.manifest("m/auto/app", "v1").data == image.manifest.data, server.tail()
        view.close()


def test_a_signature_that_was_pushed_and_not_entered_into_the_tag_schema_is_entered_by_the_next_run(
    cargohold: Cargohold, old: RegistryView, ours: LiveServer
) -> None:
    value = random_image(71)
    signature = artifact(b"signature", "application/vnd.test", subject=value.manifest)
    digest = value.manifest.digest.replace(":", "-")
    _put(ours.address, "signed/app", value, "v1")
    _put(ours.address, "signed/app", signature)
    to = ("signed/app", "--root", ours.root, "--to", f"{old.address}/entered")
    _sync(cargohold, *to)
    accept = {"Accept": OCI_INDEX}
    entered = old.http.get(f"/v2/entered/signed/app/manifests/{digest}", headers=accept).json()["manifests"]
    empty = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    old.http.put(
        f"/v2/entered/signed/app/manifests/{digest}", content=json.dumps(empty), headers={"Content-Type": OCI_INDEX}
    )

    _sync(cargohold, *to)

    found = old.http.get(f"/v2/entered/signed/app/manifests/{digest}", headers=accept).json()
    assert found["manifests"] == entered
    assert [entry["digest"] for entry in entered] == [signature.manifest.digest]


def test_a_repository_without_tags_that_is_listed_is_no_failure_and_one_that_is_named_is(
    cargohold: Cargohold, old: RegistryView, tmp_path: Path
) -> None:
    async def push_blob() -> None:
        async with Upstream(UpstreamOptions(Endpoint.parse(old.address))) as upstream:
            data = b"a blob alone"
            await upstream.put_blob(RepositoryName("bare/blobs"), Digest.of(data), len(data), blocks(data))

    asyncio.run(push_blob())
    _put(old.address, "bare/app", random_image(72), "v1")

    listed = _sync(cargohold, f"{old.address}/bare/*", "--root", tmp_path)
    named = _sync(cargohold, f"{old.address}/bare/blobs", "--root", tmp_path, code=1)

    assert [image["target"] for image in listed["images"]] == ["bare/app"]
    assert [image["status"] for image in named["images"]] == ["failed"]
