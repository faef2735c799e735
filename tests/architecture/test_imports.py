"""Imports run downwards only; the contracts are in pyproject.toml."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.architecture.places import PACKAGES, ROOT, sources


def test_every_contract_is_kept() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_every_part_of_the_server_has_its_place_in_the_layers() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [layers] = [contract["layers"] for contract in settings["contracts"] if contract["type"] == "layers"]
    placed = {part.strip() for layer in layers for part in layer.split("|")}

    parts = {
        "registry." + file.relative_to(ROOT / "registry").parts[0].removesuffix(".py") for file in sources("registry")
    }

    assert parts - {"registry.__init__"} <= placed


def test_no_contract_has_an_exception() -> None:
    assert "ignore_imports" not in (ROOT / "pyproject.toml").read_text()


def test_the_linter_sees_every_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

    assert sorted(settings["root_packages"]) == sorted(PACKAGES)


def test_a_server_starts_without_what_only_mirrors_and_buckets_and_commands_need() -> None:
    """Each of them takes a good part of the time that a server takes to start."""
    code = (
        "import sys, registry.app, registry.serving.run, registry.cli.settings_options as options\n"
        "options.checks()\n"
        "print([name for name in ('httpx', 'boto3', 'rich', 'prometheus_client', 'ldap3') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
