"""What we ship and what we install."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from tests.architecture.places import PACKAGES, ROOT

LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-dev.lock")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel, built from this checkout."""
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", directory, ROOT], check=True, capture_output=True)
    [file] = directory.glob("cargohold-*.whl")
    return zipfile.Path(file)


def test_the_wheel_ships_our_packages_and_nothing_else(wheel: zipfile.Path) -> None:
    names = {entry.name for entry in wheel.iterdir() if not entry.name.endswith(".dist-info")}

    assert names == set(PACKAGES)


@pytest.mark.parametrize("file", ["default.yml", "container.yml", "examples/tls.yml", "examples/behind-nginx.yml"])
def test_the_wheel_holds_the_settings_files(wheel: zipfile.Path, file: str) -> None:
    shipped = (wheel / "config" / file).read_text("utf-8")

    assert shipped == (ROOT / "config" / file).read_text("utf-8")


def test_the_wheel_says_that_it_is_typed(wheel: zipfile.Path) -> None:
    assert [package for package in PACKAGES if not (wheel / package / "py.typed").exists()] == []


def test_the_wheel_has_our_licence_and_our_command(wheel: zipfile.Path) -> None:
    [info] = [entry for entry in wheel.iterdir() if entry.name.endswith(".dist-info")]

    assert (info / "licenses" / "LICENSE").read_text("utf-8") == (ROOT / "LICENSE").read_text("utf-8")
    assert "cargohold = registry.cli.main:run" in (info / "entry_points.txt").read_text("utf-8")


def test_no_dependency_brings_a_package_of_our_names() -> None:
    bringers = metadata.packages_distributions()

    assert {name: bringers[name] for name in (*PACKAGES, "auth") if set(bringers.get(name, [])) - {"cargohold"}} == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_pins_everything_by_hash_and_names_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    pins = re.findall(r"^([a-z0-9._-]+)==\S+(?: ;[^\\]+)? \\\n    --hash=sha256:", text, re.MULTILINE)

    assert len(pins) == len(re.findall(r"^[^#\s]", text, re.MULTILINE)) > 0
    assert "://" not in text
    assert "--index-url" not in text


def test_the_lock_files_agree() -> None:
    pins = [
        dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / lock).read_text("utf-8"), re.MULTILINE)) for lock in LOCKS
    ]
    runtime, build, everything = pins

    assert runtime.items() <= everything.items()
    assert build.items() <= everything.items()


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    for wanted, lock in (
        (project["project"]["dependencies"], "requirements.lock"),
        (project["dependency-groups"]["build"], "requirements-build.lock"),
        (project["dependency-groups"]["dev"], "requirements-dev.lock"),
    ):
        names = {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in wanted}
        locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / lock).read_text("utf-8"), re.MULTILINE))
        assert names <= locked, lock


def test_the_installed_packages_are_the_locked_ones() -> None:
    text = (ROOT / "requirements.lock").read_text("utf-8")
    for name, version in re.findall(r"^([a-z0-9._-]+)==(\S+) \\$", text, re.MULTILINE):
        assert metadata.version(name) == version, f"{name}: run `make venv`"


def test_the_version_stands_in_one_place() -> None:
    assert (
        metadata.version("cargohold")
        == re.findall(r'__version__ = "(.+)"', Path(ROOT / "registry/__init__.py").read_text("utf-8"))[0]
    )
