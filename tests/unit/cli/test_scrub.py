"""`cargohold scrub`: what it says, and how it ends."""

import asyncio
import json
import tarfile
from pathlib import Path

import pytest

from registry.cleanup.scrub_turn import Turn
from registry.content import keyspace, mediatypes
from registry.content.digest import Digest
from registry.content.leases import storage_time
from registry.content.names import RepositoryName
from storage_backends.filesystem import FilesystemBackend
from tests import images
from tests.images import Content
from tests.unit.cli.conftest import Cargohold
from tests.unit.content.documents import CONFIG_TYPE, LAYER_TYPE, encoded, image

_LAYER, _CONFIG = b"bytes of a layer", b"{}"
_MANIFEST = encoded(image(_CONFIG, [_LAYER]))
_KEY, _ASIDE = keyspace.blob(Digest.of(_LAYER)), keyspace.quarantined(Digest.of(_LAYER))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A registry with one image, a layer of which is damaged."""
    found = tmp_path / "data"
    digest = Digest.of(_MANIFEST)
    files = {keyspace.blob(Digest.of(data)): data for data in (_LAYER, _CONFIG, _MANIFEST)}
    files[keyspace.revision_link("team/app", digest)] = str(digest).encode()
    files[f"{keyspace.tags('team/app')}latest/current/link"] = str(digest).encode()
    files[keyspace.layer_link(RepositoryName("team/app"), Digest.of(_LAYER))] = str(Digest.of(_LAYER)).encode()
    files[_KEY] = b"Bytes of a layer"
    for key, data in files.items():
        (found / key).parent.mkdir(parents=True, exist_ok=True)
        (found / key).write_bytes(data)
    return found


def test_what_is_damaged_is_named_with_its_image_and_taken_away(cargohold: Cargohold, root: Path) -> None:
    dry = cargohold("scrub", "--root", root, "--dry-run")
    assert (dry.code, (root / _KEY).exists()) == (1, True)

    done = cargohold("scrub", "--root", root)

    assert done.code == 1
    assert (
        f"{Digest.of(_LAYER)} (16B, quarantined): its bytes have the digest {Digest.of(b'Bytes of a layer')}"
        in done.out
    )
    assert f"  needed by team/app:latest@{Digest.of(_MANIFEST)}" in done.out
    assert "1 damaged blobs are not mended: push the images that they belong to again" in done.err
    assert not (root / _KEY).exists()
    assert (root / _ASIDE).read_bytes() == b"Bytes of a layer"


def test_what_came_back_is_no_failure(cargohold: Cargohold, root: Path) -> None:
    cargohold("scrub", "--root", root)
    (root / _KEY).parent.mkdir(parents=True)
    (root / _KEY).write_bytes(_LAYER)

    done = cargohold("scrub", "--root", root)

    assert done.code == 0
    assert "1 replaced" in done.out
    assert not (root / _ASIDE).exists()
    assert "none is damaged" in cargohold("scrub", "--root", root, "--rate", "1GB/s").out


def test_the_result_can_be_read_by_programs(cargohold: Cargohold, root: Path) -> None:
    found = json.loads(cargohold("scrub", "--root", root, "--json", "--repository", "team/**").out)

    [damage] = found["damaged"]
    assert (damage["digest"], damage["state"]) == (
        str(Digest.of(_LAYER)),
        "quarantined",
    )
    assert damage["images"] == [f"team/app:latest@{Digest.of(_MANIFEST)}"]


@pytest.mark.parametrize("layout", ["directory", "tar"])
def test_an_image_layout_mends(cargohold: Cargohold, root: Path, tmp_path: Path, layout: str) -> None:
    images.write_oci_layout(tmp_path / "directory", {"latest": _image()})
    with tarfile.open(tmp_path / "tar", "w") as tar:
        tar.add(tmp_path / "directory", arcname=".")
    assert cargohold("scrub", "--root", root).code == 1

    done = cargohold("scrub", "--root", root, "--from", f"oci:{tmp_path / layout}")

    assert (done.code, "mended" in done.out) == (0, True)
    assert (root / _KEY).read_bytes() == _LAYER
    assert not (root / _ASIDE).exists()


def _image() -> images.Image:
    """The image as it was."""
    config, layer = (Content(media_type, data) for media_type, data in ((CONFIG_TYPE, _CONFIG), (LAYER_TYPE, _LAYER)))
    return images.Image(Content(mediatypes.OCI_MANIFEST, _MANIFEST), config, (layer,))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--rate", "fast"], 2, "--rate: write how much a second, such as 50MB/s"),
        (["--rate", "-5"], 2, "--rate: write how much a second"),
        (["--repository", "a//b"], 2, "--repository: 'a//b' is not a pattern"),
        (["--from", "oci:nowhere"], 1, "nowhere is not there"),
        (["--from", "https://"], 2, "is not a registry"),
        (["--root", "nowhere"], 2, "nowhere is not there"),
    ],
)
def test_wrong_arguments_are_named(
    cargohold: Cargohold, root: Path, arguments: list[str], code: int, message: str
) -> None:
    done = cargohold("scrub", "--root", root, *arguments)

    assert done.code == code
    assert message in done.err
    assert (root / _KEY).exists()


def test_a_second_one_is_told_who_is_at_work(cargohold: Cargohold, root: Path) -> None:
    async def begin() -> None:
        backend = FilesystemBackend(root, scratch=keyspace.SCRATCH)
        await Turn(backend, "process 1 on example", 300).begin(await storage_time(backend), anew=False)

    asyncio.run(begin())
    done = cargohold("scrub", "--root", root)

    assert done.code == 1
    assert "by process 1 on example" in done.err
    assert (root / _KEY).exists()
