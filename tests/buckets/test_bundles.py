"""Bundles cross into a bucket, two loads at once, and out of it again."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.images import index, random_image
from tests.live_server import cargohold_command
from tests.unit.mirror.bundles import load_into, make
from tests.unit.mirror.places import MemoryPlace


def begun(settings: Mapping[str, str], *arguments: str | Path) -> "subprocess.Popen[str]":
    words = [*cargohold_command(), "bundle", *map(str, arguments), "--quiet"]
    return subprocess.Popen(words, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True)


def bundle(settings: Mapping[str, str], *arguments: str | Path) -> str:
    process = begun(settings, *arguments)
    out, _ = process.communicate()
    assert process.returncode == 0
    return out


@pytest.mark.timeout(120)
def test_a_bundle_crosses_into_a_bucket_and_the_next_one_leaves_out_what_is_there(
    settings: Mapping[str, str], tmp_path: Path
) -> None:
    source, target = MemoryPlace(block=1 << 20), MemoryPlace(block=1 << 20)
    images = [random_image(1, layer_size=6_000_000), random_image(2, layer_size=100_000, architecture="arm64")]
    source.add("team/app", index(images), "1")
    make(tmp_path / "in.tar", source, "team/app:1")

    loads = [begun(settings, "load", tmp_path / "in.tar", "--json") for _ in range(2)]
    results = [json.loads(process.communicate()[0]) for process in loads]
    bundle(settings, "inventory", "-o", tmp_path / "inventory.json")
    bundle(settings, "create", "team/app:1", "-o", tmp_path / "out.tar")
    nothing = bundle(
        settings, "create", "team/app:1", "-o", tmp_path / "no.tar", "--since", tmp_path / "inventory.json"
    )
    load_into(target, tmp_path / "out.tar")

    assert [(result["images"], result["failed"]) for result in results] == [(1, [])] * 2
    assert target.held == source.held
    assert "0 images" in nothing
