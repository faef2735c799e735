"""`cargohold lists`: what it says, and how it ends."""

import io
import json
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cargohold

_COMPOSE = "services:\n  a: {image: 'nginx:$TAG'}\n  b: {image: redis}\n"
_POD = "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: redis}]}\n---\njust: text\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a file of each kind."""
    (tmp_path / "compose.yaml").write_text(_COMPOSE)
    (tmp_path / "pod.yaml").write_text(_POD)
    (tmp_path / "Dockerfile.web").write_bytes(b"\xef\xbb\xbfARG TAG=1\nFROM alpine:$TAG\n")
    (tmp_path / "build").write_text("# a comment\nFROM busybox\n")
    (tmp_path / ".env").write_text("# comment\nexport TAG='1.27' # why\nOTHER=a#b # c\nINHERITED\n\n")
    return tmp_path


def test_each_image_is_one_line_and_warnings_go_elsewhere(cargohold: Cargohold, files: Path) -> None:
    done = cargohold("lists", "compose.yaml", "pod.yaml", "Dockerfile.web", "build")

    assert done.code == 0
    assert done.out.splitlines() == [
        "docker.io/library/redis:latest",
        "docker.io/library/alpine:1",
        "docker.io/library/busybox:latest",
    ]
    assert "compose.yaml:2: 'nginx:$TAG' cannot be told: TAG has no value" in done.err
    assert "pod.yaml:1: there is a document that is no compose file" in done.err


def test_variables_are_given_by_options_and_files(cargohold: Cargohold, files: Path) -> None:
    assert cargohold("lists", "compose.yaml", "--env-file", ".env", "--as-written").out == "nginx:1.27\nredis\n"
    both = cargohold("lists", "compose.yaml", "Dockerfile.web", "--env-file", ".env", "--set", "TAG=2", "--as-written")
    assert both.out.splitlines() == ["nginx:2", "redis", "alpine:2"]


def test_standard_input_is_a_file(cargohold: Cargohold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(_POD.encode())))

    found = json.loads(cargohold("lists", "-", "--json").out)

    [image] = found["images"]
    assert image == {
        "image": "docker.io/library/redis:latest",
        "guessed": False,
        "places": [{"file": "-", "line": 3}],
    }
    assert [warning["file"] for warning in found["warnings"]] == ["-"]


def test_no_image_is_no_line(cargohold: Cargohold, files: Path) -> None:
    (files / "empty.yaml").write_text("")

    assert cargohold("lists", "empty.yaml").out == ""


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("nowhere.yaml", None, "nowhere.yaml cannot be read: No such file"),
        ("x.yaml", b"a: [", "x.yaml:1:5: this is not YAML"),
        ("x.yaml", b"a: 1\n{{- if .x }}\n", "has to be rendered first: helm template CHART | cargohold lists -"),
        ("Dockerfile", b"FROM \xff", "Dockerfile is not UTF-8 text"),
    ],
)
def test_what_cannot_be_read_is_named(
    cargohold: Cargohold, files: Path, name: str, data: bytes | None, message: str
) -> None:
    if data is not None:
        (files / name).write_bytes(data)

    done = cargohold("lists", name)

    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_wrong_arguments_are_named(cargohold: Cargohold, files: Path) -> None:
    assert "--set: 'TAG' is no NAME=VALUE" in cargohold("lists", "compose.yaml", "--set", "TAG").err
    assert cargohold("lists", "compose.yaml", "--kind", "helm").code == 2
    assert cargohold("lists").code == 2
