"""`cargohold storage`: what it says, and how it ends."""

import json
import os
import time
from pathlib import Path

import pytest

from registry.content import keyspace
from registry.content.digest import Digest
from tests.unit.cli.conftest import Cargohold
from tests.unit.cli.filled import filled

_DATA = b"bytes of a layer"
_KEY = keyspace.blob(Digest.of(_DATA))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "from"
    file = root / _KEY
    file.parent.mkdir(parents=True)
    file.write_bytes(_DATA)
    return root


def test_a_directory_is_copied_to_another_and_then_nothing_is_left_to_do(
    cargohold: Cargohold, source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "to"
    assert "would copy 1 of 1 objects, 16B" in cargohold("storage", "copy", str(source), str(target), "--dry-run").out
    assert not (target / _KEY).exists()

    done = cargohold("storage", "copy", str(source), str(target), "--verify", "--json")
    assert json.loads(done.out)["copied"] == json.loads(done.out)["verified"] == 1
    assert "1/1 objects" in done.err
    assert (target / _KEY).read_bytes() == _DATA

    again = cargohold("storage", "copy", str(source), str(target), "--quiet")
    assert (again.code, again.err) == (0, "")
    assert "copied 0 of 1 objects" in again.out


def test_a_settings_file_says_where(cargohold: Cargohold, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "to.yml"
    target.write_text(f"storage:\n  root: {tmp_path}/other\n")
    assert cargohold("storage", "copy", str(source), str(target)).code == 0
    assert (tmp_path / "other" / _KEY).read_bytes() == _DATA


def test_the_newest_of_a_copy_are_those_of_the_original(cargohold: Cargohold, tmp_path: Path) -> None:
    digests = [Digest.parse(text) for text in filled(tmp_path / "data", "a", "b", "c", "d", hours=500)]
    for days, digest in enumerate(sorted(digests, key=str), 1):  # the copy brings the newest first
        then = time.time() - days * 86400
        os.utime(tmp_path / "data" / keyspace.revision_link("team/app", digest), (then, then))
    policy = "{name: all, repositories: '**', keep: [{newest: 1}, {pushed_within: 60h}]}"
    Path("here.yml").write_text(f"cleanup: {{grace_seconds: 0}}\nretention: {{policies: [{policy}]}}\n")
    plan = ["retention", "--config", "here.yml", "--dry-run", "--root"]
    before = cargohold(*plan, "data").out

    assert cargohold("storage", "copy", "data", "copy", "-j", "1").code == 0
    assert cargohold("storage", "copy", "copy", "copy of the copy").code == 0

    assert "Would remove 2 tags and 2 images" in before
    assert cargohold(*plan, "copy").out == before
    assert cargohold(*plan, "copy of the copy").out == before
    assert cargohold("fsck", "--root", "copy of the copy").code == 0


def test_damage_is_named_and_ends_with_1(cargohold: Cargohold, source: Path, tmp_path: Path) -> None:
    (source / _KEY).write_bytes(b"other bytes")
    done = cargohold("storage", "copy", str(source), str(tmp_path / "to"))
    assert done.code == 1
    assert _KEY in done.out
    assert "1 objects could not be copied" in done.err


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("{from}", "{from}"), "the same place"),
        (("{tmp}/nothing", "{tmp}/to"), "is not there"),
        (("{tmp}", "{tmp}/to"), "holds no registry"),
        (("{from}", "s3://"), "names no bucket"),
        (("{from}", "s3://bucket/a//b"), "single slashes"),
        (("{from}", "{tmp}/none.yml"), "none.yml"),
    ],
)
def test_what_cannot_be_copied_is_said(
    cargohold: Cargohold, source: Path, tmp_path: Path, names: tuple[str, str], message: str
) -> None:
    places = [name.replace("{from}", str(source)).replace("{tmp}", str(tmp_path)) for name in names]
    done = cargohold("storage", "copy", *places)
    assert done.code == 2
    assert message in done.err


def test_uploads_are_not_looked_for_in_a_storage_that_is_not_there(cargohold: Cargohold, tmp_path: Path) -> None:
    ended = cargohold("storage", "expire", "--root", tmp_path / "nothing")

    assert ended.code == 2
    assert "nothing is not there" in ended.err
    assert not (tmp_path / "nothing").exists()


def test_uploads_that_were_left_are_removed(cargohold: Cargohold, source: Path) -> None:
    upload = source / keyspace.UPLOADS / "one"
    upload.parent.mkdir(parents=True)
    upload.write_bytes(b"half")
    assert cargohold("storage", "expire", "--root", str(source)).out == "0 removed\n"
    time.sleep(0.01)  # its age is measured with the clock of the file system
    assert cargohold("storage", "expire", "--root", str(source), "--older-than", "0").out == "1 removed\n"
    assert not upload.exists()
    assert cargohold("storage", "expire", "--root", str(source), "--older-than", "soon").code == 2
