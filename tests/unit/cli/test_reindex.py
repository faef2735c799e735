"""`cargohold reindex`, on a directory that lost what can be rebuilt."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from config.settings import RegistrySettings, Settings
from config.storage import StorageSettings
from registry.app_auth import build_policy_source
from registry.app_registry import build_registry
from registry.app_storage import build_backend
from registry.content.digest import Digest
from registry.content.names import RepositoryName, Tag
from tests.unit.cli.conftest import Cargohold

OCI = "application/vnd.oci.image.manifest.v1+json"
EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": f"sha256:{'0' * 64}", "size": 2}
NAME = RepositoryName.parse("team/app")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A directory with an image and a signature of it, whose index of referrers is gone."""
    settings = Settings(
        storage=StorageSettings(root=tmp_path / "data"), registry=RegistrySettings(check_references=False)
    )
    image = {"schemaVersion": 2, "mediaType": OCI, "config": EMPTY, "layers": [EMPTY]}
    data = json.dumps(image).encode()
    subject = {"mediaType": OCI, "digest": str(Digest.of(data)), "size": len(data)}
    signature = json.dumps({**image, "artifactType": "application/example", "subject": subject}).encode()

    async def push() -> None:
        registry = build_registry(settings, build_backend(settings), build_policy_source(settings, None))
        await registry.put_manifest(NAME, Tag.parse("1"), data, OCI)
        await registry.put_manifest(NAME, Digest.of(signature), signature, OCI)

    asyncio.run(push())
    shutil.rmtree(settings.storage.root / "cargohold")
    return settings


def indexed(settings: Settings) -> list[Path]:
    return [path for path in (settings.storage.root / "cargohold").rglob("_referrers/**/*") if path.is_file()]


def test_it_rebuilds_the_index_and_says_what_it_found(cargohold: Cargohold, settings: Settings) -> None:
    ended = cargohold("reindex", "--root", settings.storage.root)

    assert ended.code == 0
    assert ended.out == (
        "team/app: 1 referrers, 0 stale entries removed\n1 repositories, 1 referrers indexed, 0 stale entries removed\n"
    )
    assert len(indexed(settings)) == 1


def test_a_dry_run_says_the_same_and_changes_nothing(cargohold: Cargohold, settings: Settings) -> None:
    ended = cargohold("reindex", "--root", settings.storage.root, "--dry-run")

    assert ended.out.endswith(
        "nothing was changed; would have: 1 repositories, 1 referrers indexed, 0 stale entries removed\n"
    )
    assert indexed(settings) == []


def test_programs_get_json(cargohold: Cargohold, settings: Settings) -> None:
    ended = cargohold("reindex", "--root", settings.storage.root, "--json")

    assert json.loads(ended.out) == {
        "dry_run": False,
        "repositories": [{"name": "team/app", "referrers": 1, "removed": 0}],
    }


def test_a_directory_that_is_not_there_is_not_made(cargohold: Cargohold, tmp_path: Path) -> None:
    assert cargohold("reindex", "--root", tmp_path / "absent").code == 2
    assert not (tmp_path / "absent").exists()
