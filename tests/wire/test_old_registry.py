"""One directory, served by Docker's distribution and by us in turn: no migration, either way."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import images
from tests.clients.registry_view import RegistryView
from tests.images import Content, Image, Index
from tests.live_server import cargohold_command, live_server
from tests.wire.old_registry import old_registry

SCHEMA_2 = images.random_image(seed=1, docker=True)
OCI = images.random_image(seed=2)
MULTI = images.index([images.random_image(seed=3), images.random_image(seed=4)])
SIGNATURE = images.artifact(b"signature", "application/vnd.example.signature", subject=OCI.manifest)

PUSHED: dict[tuple[str, str], Image | Index] = {
    ("library/app", "1.0"): SCHEMA_2,
    ("library/app", "latest"): OCI,
    ("team/deep/er/multi", "v1"): MULTI,
}


def _push_all(view: RegistryView) -> None:
    for (repository, tag), value in PUSHED.items():
        view.push(repository, tag, value)


def _check_all(view: RegistryView) -> None:
    for (repository, tag), value in PUSHED.items():
        view.assert_holds(repository, tag, value)
    assert sorted(view.tags("library/app")) == ["1.0", "latest"]  # the old one does not sort
    assert view.http.get("/v2/_catalog").json() == {"repositories": ["library/app", "team/deep/er/multi"]}


@contextmanager
def ours(directory: Path) -> Iterator[RegistryView]:
    """Our server over `directory`/data."""
    with live_server(directory) as server:
        view = RegistryView(server.address)
        yield view
        view.close()


def test_a_directory_that_distribution_wrote_is_served_at_once(tmp_path: Path) -> None:
    with old_registry(tmp_path / "data", tmp_path / "old") as view:
        _push_all(view)

    with ours(tmp_path) as view:
        _check_all(view)


def test_a_directory_that_we_wrote_is_served_by_distribution(tmp_path: Path) -> None:
    with ours(tmp_path) as view:
        _push_all(view)
        view.push("library/app", "gone", images.random_image(seed=9))
        view.delete_manifest("library/app", "gone")

    with old_registry(tmp_path / "data", tmp_path / "old") as view:
        _check_all(view)


def test_both_write_the_same_files(tmp_path: Path) -> None:
    with old_registry(tmp_path / "old" / "data", tmp_path / "scratch") as view:
        _push_all(view)
    (tmp_path / "new").mkdir()
    with ours(tmp_path / "new") as view:
        _push_all(view)

    assert _files(tmp_path / "new" / "data") == _files(tmp_path / "old" / "data")


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in (root / "docker").rglob("*")
        if path.is_file() and "_uploads" not in path.parts
    }


def test_both_serve_one_directory_side_by_side(tmp_path: Path) -> None:
    """What another process adds or removes is seen at the next request: nothing is answered from memory alone."""
    with ours(tmp_path) as new, old_registry(tmp_path / "data", tmp_path / "old") as old:
        for number in range(5):
            old.push("shared/app", f"old-{number}", images.random_image(seed=20 + number))
            assert new.tags("shared/app")[-1] == f"old-{number}"
            new.push("shared/other", f"new-{number}", images.random_image(seed=30 + number))
            assert old.has_manifest("shared/other", f"new-{number}")
        digest = old.manifest("shared/app", "old-0").digest
        old.delete_manifest("shared/app", digest)

        assert not new.has_manifest("shared/app", digest)
        assert "old-0" not in new.tags("shared/app")
        assert new.http.get("/v2/_catalog").json() == {"repositories": ["shared/app", "shared/other"]}


def test_referrers_that_clients_kept_under_a_tag_are_listed(tmp_path: Path) -> None:
    """Source: distribution-spec, "Enabling the Referrers API": what the tag schema lists must be in the answer."""
    with old_registry(tmp_path / "data", tmp_path / "old") as view:
        view.push("library/app", "latest", OCI)
        view.push("library/app", SIGNATURE.manifest.digest, SIGNATURE)
        view.push("library/app", OCI.manifest.digest.replace(":", "-"), images.index([SIGNATURE]))

    with ours(tmp_path) as view:
        assert _referrers(view) == [SIGNATURE.manifest.digest]


def test_manifests_with_a_subject_are_found_though_nobody_listed_them(tmp_path: Path) -> None:
    with old_registry(tmp_path / "data", tmp_path / "old") as view:
        view.push("library/app", "latest", OCI)
        view.push("library/app", SIGNATURE.manifest.digest, SIGNATURE)

    with ours(tmp_path) as view:
        assert _referrers(view) == [SIGNATURE.manifest.digest]
        view.delete_manifest("library/app", SIGNATURE.manifest.digest)
        assert _referrers(view) == []


def test_reindex_rebuilds_what_is_ours(tmp_path: Path) -> None:
    odd = Content("application/vnd.docker.distribution.manifest.v2+json", _without_media_type(OCI.manifest.data))
    with ours(tmp_path) as view:
        view.push("library/app", "latest", OCI)
        view.push("library/app", "signed", SIGNATURE)
        view.put_manifest("library/app", "odd", odd)
        before = view.http.get(f"/v2/library/app/referrers/{OCI.manifest.digest}").json()
        assert view.manifest("library/app", "odd").media_type == odd.media_type
        kept = tmp_path / "data/cargohold/v1/repositories/library/app"
        for entry in [entry for entry in kept.iterdir() if entry.name != "_pulls"]:  # which the server may just write
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        _reindex(tmp_path / "data", "--dry-run")
        assert {entry.name for entry in kept.iterdir()} <= {"_pulls"}
        counts = _reindex(tmp_path / "data")
        assert "library/app" in json.dumps(counts)
        assert (kept / "_referrers_complete").exists()

        assert view.http.get(f"/v2/library/app/referrers/{OCI.manifest.digest}").json() == before
        assert view.manifest("library/app", "odd").data == odd.data


@pytest.mark.parametrize("link", [b"", b"sha256:"])
def test_a_link_that_a_crash_left_broken_counts_as_none_and_is_mended_by_the_next_push(
    tmp_path: Path, link: bytes
) -> None:
    """registry:2 can leave links of no length after a crash."""
    with ours(tmp_path) as view:
        view.push("library/app", "latest", OCI)
        for path in (tmp_path / "data/docker/registry/v2/repositories").rglob("link"):
            path.write_bytes(link)

        assert not view.has_manifest("library/app", "latest")
        assert not view.has_manifest("library/app", OCI.manifest.digest)
        assert not view.has_blob("library/app", OCI.config.digest)
        view.push("library/app", "latest", OCI)
        view.assert_holds("library/app", "latest", OCI)


def _reindex(root: Path, *options: str) -> object:
    command = [*cargohold_command(), "reindex", "--root", str(root), "--json", *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def _referrers(view: RegistryView) -> list[str]:
    answer = view.http.get(f"/v2/library/app/referrers/{OCI.manifest.digest}")
    assert answer.status_code == 200, answer.text
    return [entry["digest"] for entry in answer.json()["manifests"]]


def _without_media_type(data: bytes) -> bytes:
    document = json.loads(data)
    del document["mediaType"]
    return json.dumps(document).encode()
