"""`cargohold fsck`: what it says, and how it ends."""

import json
from pathlib import Path

import pytest

from registry.content import keyspace
from registry.content.digest import Digest
from tests.images import index as index_of
from tests.images import random_image, write_oci_layout
from tests.unit.cli.conftest import Cargohold
from tests.unit.content.documents import encoded, index

_MANIFEST = encoded(index())
_DIGEST = Digest.of(_MANIFEST)
_CURRENT = f"{keyspace.tags('team/app')}latest/current/link"
_LINK = keyspace.revision_link("team/app", _DIGEST)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A registry with one tag, whose manifest's link a crash has left empty."""
    found = tmp_path / "data"
    for key, data in {keyspace.blob(_DIGEST): _MANIFEST, _CURRENT: str(_DIGEST).encode(), _LINK: b""}.items():
        (found / key).parent.mkdir(parents=True, exist_ok=True)
        (found / key).write_bytes(data)
    return found


def test_it_says_what_is_wrong_and_repairs_it_when_told(cargohold: Cargohold, root: Path) -> None:
    found = cargohold("fsck", "--root", root)
    assert found.code == 1
    assert f"broken link: the link to {_DIGEST} is empty\n  at {_LINK}\n  hits team/app:latest@{_DIGEST}" in found.out
    assert "1 of them can be repaired: cargohold fsck --repair" in found.err
    assert cargohold("fsck", "--root", root, "--repair", "--dry-run").code == 1
    assert (root / _LINK).read_bytes() == b""

    done = cargohold("fsck", "--root", root, "--repair")

    assert done.code == 0
    assert "0 findings, 1 repaired" in done.out
    assert (root / _LINK).read_bytes() == str(_DIGEST).encode()
    assert cargohold("fsck", "--root", root).code == 0


def test_the_result_can_be_read_by_programs(cargohold: Cargohold, root: Path) -> None:
    found = json.loads(cargohold("fsck", "--root", root, "--json").out)

    [finding] = found["findings"]
    assert (finding["kind"], finding["key"], finding["repair"], finding["repaired"]) == (
        "broken link",
        _LINK,
        True,
        False,
    )
    assert finding["images"] == [f"team/app:latest@{_DIGEST}"]


def test_what_was_brought_for_chosen_platforms_alone_is_shown_and_is_not_wrong(
    cargohold: Cargohold, tmp_path: Path
) -> None:
    arm = random_image(2, architecture="arm64")
    write_oci_layout(tmp_path / "layout", {"team/multi:1": index_of([random_image(1, architecture="s390x"), arm])})
    copied = ("sync", f"oci:{tmp_path / 'layout'}", "--to", "m", "--platform", "linux/arm64")
    assert cargohold(*copied, "--root", tmp_path / "data").code == 0

    checked = cargohold("fsck", "--root", tmp_path / "data")
    listed = cargohold("images", "--root", tmp_path / "data", "--quiet", "--no-trunc")

    assert checked.code == 0
    assert "incomplete index: index " in checked.out
    assert "has 1 of its 2 manifests" in checked.out
    assert "only some platforms were brought" in checked.out
    assert listed.out.strip() == arm.config.digest


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [(["--grace", "soon"], 2, "--grace: write a duration"), (["--root", "nowhere"], 2, "nowhere is not there")],
)
def test_wrong_arguments_are_named(
    cargohold: Cargohold, root: Path, arguments: list[str], code: int, message: str
) -> None:
    done = cargohold("fsck", "--root", root, *arguments)

    assert (done.code, message in done.err) == (code, True)
