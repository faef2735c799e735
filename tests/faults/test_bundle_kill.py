"""`bundle create` and `bundle load`, killed at steps in the middle: nothing half-done is seen, and they go on."""

import asyncio
import itertools
import os
import signal
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import registry.app  # what the commands load only when they run: the children shall not each do it again
import registry.app_upstreams
import registry.mirror.bundle_inventory
import registry.mirror.bundle_load
import registry.mirror.bundle_signing
import registry.mirror.upstream  # noqa: F401  # as above
from registry.cli.main import run
from registry.content.digest import Digest
from registry.content.errors import ManifestUnknown
from registry.content.local_place import LocalPlace
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends import durable
from storage_backends.filesystem import FilesystemBackend
from tests.images import Image, random_image
from tests.mirror.places import push, read_blob

NAME = RepositoryName.parse("team/app")
IMAGES = {f"v{number}": random_image(number, layer_size=600_000) for number in range(3)}


def ended(*arguments: str | Path, step: str = "", after: int = 0) -> int:
    """How `cargohold bundle …` ends in a process of its own, which is killed when `step` is to be done once more than
    `after` times.
    """
    child = os.fork()
    if not child:
        try:
            sys.argv = ["cargohold", "bundle", *map(str, arguments), "--quiet"]
            if step:
                setattr(durable, step, _killing(getattr(durable, step), after))
            run()
        except SystemExit as exited:
            os._exit(int(exited.code or 0))
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _killing(real: Callable[..., object], after: int) -> Callable[..., object]:
    left = itertools.count(after, -1)

    def instead(*arguments: object) -> object:
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)

    return instead


def bundle(*arguments: str | Path) -> None:
    assert ended(*arguments) == 0


def place(root: Path) -> LocalPlace:
    root.mkdir(exist_ok=True)
    return LocalPlace(Registry(FilesystemBackend(root), Rules()))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    async def fill() -> None:
        for tag, image in IMAGES.items():
            await push(place(tmp_path / "open"), NAME, image, tag)

    asyncio.run(fill())
    return tmp_path / "open"


def images(root: Path) -> list[str | Path]:
    return ["--root", root, *(f"{NAME}:{tag}" for tag in IMAGES)]


def files(path: Path) -> dict[str, bytes]:
    """What is in a bundle, but for when it was made."""
    with tarfile.open(path) as tar:
        opened = {member.name: tar.extractfile(member) for member in tar}
        return {name: file.read() for name, file in opened.items() if file and name != "cargohold-bundle.json"}


@pytest.mark.parametrize(
    ("step", "after", "options"),
    [
        ("write", 0, []),
        ("write", 9, []),
        ("write", 9, ["--split", "1MiB"]),
        ("write", 3, ["--compress", "zstd"]),
        ("sync_file", 0, []),
        ("rename", 0, []),
        ("rename", 1, ["--split", "1MiB"]),
        ("sync_directory", 0, []),
    ],
)
def test_a_bundle_that_was_killed_is_not_there_and_the_same_command_goes_on(
    root: Path, tmp_path: Path, step: str, after: int, options: list[str]
) -> None:
    out = tmp_path / "out" / "out.tar"
    out.parent.mkdir()
    assert ended("create", *images(root), "-o", out, *options, step=step, after=after) == -signal.SIGKILL
    assert step == "sync_directory" or not out.exists()
    assert not out.with_name("out.tar.001").exists()
    bundle("create", *images(root), "-o", out, *options)

    bundle("load", out, "--root", place_of(tmp_path / "closed"))
    assert_whole(tmp_path / "closed", set(IMAGES))
    assert not list(out.parent.glob(".*"))
    if (step, options) == ("write", []):
        bundle("create", *images(root), "-o", tmp_path / "whole.tar")
        assert files(out) == files(tmp_path / "whole.tar")


def place_of(path: Path) -> Path:
    path.mkdir()
    return path


def assert_whole(root: Path, wanted: set[str]) -> None:
    """Every tag that is there names an image that can be read whole; `wanted` are there."""

    async def look() -> set[str]:
        opened = place(root)
        found = set()
        for tag, image in IMAGES.items():
            try:
                digest = await opened.resolve(NAME, Tag(tag))
            except ManifestUnknown:
                continue
            assert digest == Digest.parse(image.manifest.digest)
            await read_all(opened, image)
            found.add(tag)
        return found

    assert asyncio.run(look()) >= wanted


async def read_all(opened: LocalPlace, image: Image) -> None:
    for blob in image.blobs:
        assert await read_blob(opened, NAME, blob) == blob.data


@pytest.mark.parametrize(("step", "after"), [("write", 5), ("rename", 6), ("sync_file", 9)])
def test_a_load_that_was_killed_shows_only_whole_images_and_goes_on(
    root: Path, tmp_path: Path, step: str, after: int
) -> None:
    closed = place_of(tmp_path / "closed")
    bundle("create", *images(root), "-o", tmp_path / "out.tar")

    assert ended("load", tmp_path / "out.tar", "--root", closed, step=step, after=after) == -signal.SIGKILL
    assert_whole(closed, set())
    bundle("load", tmp_path / "out.tar", "--root", closed)

    assert_whole(closed, set(IMAGES))
