"""`cargohold bundle …`: what the commands say, and how they end."""

import asyncio
import errno
import json
import os
import tarfile
from pathlib import Path

import pytest

from registry.content.local_place import LocalPlace
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends import durable
from storage_backends.filesystem import FilesystemBackend
from tests.images import Content, image, index, random_image, random_layer, write_oci_layout
from tests.mirror.places import push
from tests.unit.cli.conftest import Cargohold

NAME = RepositoryName.parse("team/app")
AMD, ARM = random_image(1), random_image(2, architecture="arm64")


def place(root: Path) -> LocalPlace:
    root.mkdir(exist_ok=True)
    return LocalPlace(Registry(FilesystemBackend(root), Rules()))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The storage on the open side, with an image and an index."""

    async def fill() -> None:
        opened = place(tmp_path / "open")
        await push(opened, NAME, AMD, "1")
        for each in (AMD, ARM):
            await push(opened, NAME, each)
        await push(opened, NAME, index([AMD, ARM]), "multi")

    asyncio.run(fill())
    return tmp_path / "open"


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """The empty storage on the closed side."""
    (tmp_path / "closed").mkdir()
    return tmp_path / "closed"


def test_a_prefix_is_a_part_of_the_name_of_its_own_with_or_without_a_slash(
    cargohold: Cargohold, root: Path, closed: Path
) -> None:
    cargohold("bundle", "create", "--root", str(root), "team/app:1", "-o", "out.tar")

    for prefix in ("mirror", "mirror/"):
        loaded = cargohold("bundle", "load", "out.tar", "--root", str(closed), "--prefix", prefix)
        listed = cargohold("images", "--root", str(closed), "--format", "{{.Repository}}")
        cargohold("bundle", "inventory", "--root", str(closed), "--prefix", prefix, "-o", "inv.json")
        again = cargohold("bundle", "create", "--root", str(root), "team/app:1", "-o", "b.tar", "--since", "inv.json")

        assert (loaded.code, listed.out) == (0, "mirror/team/app\n")
        assert "1 unchanged and left out" in again.out


def test_one_round_trip_with_a_signature_parts_and_an_inventory(
    cargohold: Cargohold, root: Path, closed: Path, tmp_path: Path
) -> None:
    out, inventory = tmp_path / "out.tar", tmp_path / "inventory.json"
    images = ["team/app:1", "team/app:multi"]
    cargohold("bundle", "keygen", str(tmp_path / "key"))
    sign, check = ["--sign", str(tmp_path / "key.key")], ["--key", str(tmp_path / "key.pub")]

    made = cargohold("bundle", "create", "--root", str(root), *images, "-o", str(out), "--compress", "zstd", *sign)
    listed = json.loads(cargohold("bundle", "ls", str(out), "--json").out)
    verified = cargohold("bundle", "verify", str(out), *check)
    loaded = cargohold("bundle", "load", str(out), "--root", str(closed), "--prefix", "mirror/", *check)
    cargohold("bundle", "inventory", "--root", str(closed), "--prefix", "mirror/", "-o", str(inventory))
    again = cargohold("bundle", "create", "--root", str(root), *images, "-o", str(out), "--since", str(inventory))

    assert "2 images" in made.out
    assert [row["image"] for row in listed] == images
    assert "is whole, signed by the key: 2 images, 9 blobs" in verified.out
    assert "loaded 2 of 2 images" in loaded.out
    assert "0 images" in again.out
    assert "2 unchanged and left out" in again.out
    assert (tmp_path / "key.key").stat().st_mode & 0o777 == 0o600
    found = asyncio.run(place(closed).resolve(RepositoryName("mirror/team/app"), Tag("1")))
    assert str(found) == AMD.manifest.digest


def test_a_list_may_come_from_a_file_with_comments_and_say_the_same_twice(
    cargohold: Cargohold, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "list").write_text("# images\nteam/app:1  # the first\n\nteam/app:1\n")

    made = cargohold("bundle", "create", "--root", str(root), "--from-file", str(tmp_path / "list"), "-o", "o.tar")

    assert "o.tar: 1 images" in made.out


def test_platforms_that_are_not_wanted_stay_behind(
    cargohold: Cargohold, root: Path, closed: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "out.tar")
    cargohold("bundle", "create", "--root", str(root), "team/app:multi", "-o", out, "--platform", "linux/arm64")

    loaded = json.loads(cargohold("bundle", "load", out, "--root", str(closed), "--json").out)

    assert (loaded["images"], loaded["failed"]) == (1, [])
    assert loaded["bytes_copied"] == sum(len(blob.data) for blob in ARM.blobs)


def test_an_image_that_fails_is_named_and_the_others_are_in_the_bundle(
    cargohold: Cargohold, root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.tar"

    made = cargohold("bundle", "create", "--root", str(root), "team/app:gone", "team/app:1", "-o", str(out), "--json")

    assert made.code == 1
    assert [failed["image"] for failed in json.loads(made.out)["failed"]] == ["team/app:gone"]
    assert "1 images are not in the bundle; the others are" in made.err
    assert len(json.loads(cargohold("bundle", "ls", str(out), "--json").out)) == 1


def test_without_any_image_that_works_there_is_no_bundle(cargohold: Cargohold, root: Path, tmp_path: Path) -> None:
    made = cargohold("bundle", "create", "--root", str(root), "team/app:gone", "-o", str(tmp_path / "out.tar"))

    assert made.code == 1
    assert "no image could be put into it; the first one: team/app:gone" in made.err
    assert list(tmp_path.glob("*out.tar*")) == []


def test_a_damaged_bundle_is_found_by_verify_and_refused_by_load(
    cargohold: Cargohold, root: Path, closed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.tar"
    cargohold("bundle", "create", "--root", str(root), "team/app:1", "-o", str(out))
    data = bytearray(out.read_bytes())
    data[50_000] ^= 1
    out.write_bytes(data)

    verified = cargohold("bundle", "verify", str(out))
    loaded = cargohold("bundle", "load", str(out), "--root", str(closed))

    assert (verified.code, loaded.code) == (1, 1)
    layer = AMD.layers[0].digest.replace(":", "/")
    assert f"blobs/{layer} has other bytes" in verified.err
    assert f"blobs/{layer} in the archive is damaged" in loaded.err
    assert not list(closed.rglob("_manifests"))


def test_a_layout_that_lacks_a_layer_is_not_whole(cargohold: Cargohold, tmp_path: Path) -> None:
    write_oci_layout(tmp_path / "layout", {"team/app:1": AMD})
    layer = f"blobs/{AMD.layers[0].digest.replace(':', '/')}"
    (tmp_path / "layout" / layer).unlink()
    with tarfile.open(tmp_path / "l.tar", "w") as tar:
        tar.add(tmp_path / "layout", "")

    verified = cargohold("bundle", "verify", str(tmp_path / "l.tar"))

    assert verified.code == 1
    assert f"is not whole: {layer} is missing" in verified.err


def test_a_bundle_of_what_the_other_side_has_lost_says_what_to_do(
    cargohold: Cargohold, root: Path, closed: Path, tmp_path: Path
) -> None:
    first, second = str(tmp_path / "first.tar"), str(tmp_path / "second.tar")
    cargohold("bundle", "create", "--root", str(root), "team/app:1", "-o", first)
    new = image([random_layer(64 * 1024, 1000), random_layer(10, 5)])  # its first layer is that of AMD
    asyncio.run(push(place(root), NAME, new, "2"))
    cargohold("bundle", "create", "--root", str(root), "team/app:2", "-o", second, "--since", first)

    listed = json.loads(cargohold("bundle", "ls", second, "--json").out)
    loaded = cargohold("bundle", "load", second, "--root", str(closed))

    assert len(listed[0]["missing"]) == 1
    assert loaded.code == 1
    assert "failed: team/app:2: " in loaded.out
    assert f"1 images of {second} could not be loaded\n" in loaded.err
    assert "neither in the bundle nor in the registry: make the bundle again from an inventory" in loaded.out


def test_of_the_others_nothing_is_said_that_is_not_so(cargohold: Cargohold, root: Path, closed: Path) -> None:
    new = image([random_layer(64 * 1024, 1000), random_layer(10, 5)])  # its first layer is that of AMD
    cargohold("bundle", "create", "--root", root, "team/app:1", "-o", "1.tar")
    asyncio.run(push(place(root), NAME, new, "2"))
    asyncio.run(push(place(root), NAME, ARM, "3"))
    cargohold("bundle", "create", "--root", root, "team/app:2", "team/app:3", "-o", "2.tar", "--since", "1.tar")

    planned = cargohold("bundle", "load", "2.tar", "--root", closed, "--dry-run")
    loaded = cargohold("bundle", "load", "2.tar", "--root", closed)
    unchanged = cargohold(
        "bundle", "create", "--root", root, "team/app:1", "team/app:no", "-o", "3.tar", "--since", "1.tar"
    )

    assert planned.err.endswith("1 images of 2.tar could not be loaded; the others would be loaded\n")
    assert loaded.err.endswith("1 images of 2.tar could not be loaded; the others were loaded\n")
    assert unchanged.err.endswith("1 images are not in the bundle\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes what others cannot")
def test_root_does_not_load_into_the_storage_of_another_user(cargohold: Cargohold, root: Path, closed: Path) -> None:
    cargohold("bundle", "create", "--root", str(root), "team/app:1", "-o", "out.tar")
    os.chown(closed, 1234, 1234)

    loaded = cargohold("bundle", "load", "out.tar", "--root", str(closed))

    assert loaded.code == 2
    assert "belongs to user 1234" in loaded.err
    assert list(closed.iterdir()) == []


def test_a_full_disk_is_named_and_the_bundle_gone_on_with(
    cargohold: Cargohold, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, block: memoryview, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(durable, "write", full)
        made = cargohold("bundle", "create", "--root", str(root), "team/app:1", "-o", "out.tar")

    assert made.code == 1
    assert "out.tar: No space left on device; free some, and run it again to go on from there" in made.err
    assert cargohold("bundle", "create", "--root", str(root), "team/app:1", "-o", "out.tar").code == 0


def test_images_that_have_only_a_tag_need_a_name(cargohold: Cargohold, closed: Path, tmp_path: Path) -> None:
    write_oci_layout(tmp_path / "layout", {"1": AMD})
    with tarfile.open(tmp_path / "l.tar", "w") as tar:
        tar.add(tmp_path / "layout", "")

    refused = cargohold("bundle", "load", str(tmp_path / "l.tar"), "--root", str(closed))
    loaded = cargohold("bundle", "load", str(tmp_path / "l.tar"), "--root", str(closed), "--as", "some/name")

    assert refused.code == 2
    assert "say so with --as NAME" in refused.err
    assert loaded.code == 0


@pytest.mark.parametrize("command", [["create", "team/app:1"], ["inventory"]])
def test_what_is_no_file_is_not_replaced_by_one(cargohold: Cargohold, root: Path, command: list[str]) -> None:
    """Root that writes to /dev/stdout would take it from everybody."""
    os.mkfifo("pipe")

    ended = cargohold("bundle", *command, "--root", str(root), "-o", "pipe")

    assert ended.code == 2
    assert "pipe is no file" in ended.err
    assert Path("pipe").is_fifo()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["create", "-o", "o.tar"], 2, "name the images"),
        (["create", "a:1"], 2, "--output FILE"),
        (["create", "a:1", "-o", "."], 2, "--output . is a directory"),
        (["create", "A B", "-o", "o.tar"], 2, "A B"),
        (["create", f"registry.example/{'a' * 250}:1", "-o", "o.tar"], 2, f"{'a' * 250}:1: "),
        (["create", "a:1", "-o", "o.tar", "--compress", "gzip"], 2, "--compress zstd"),
        (["create", "a:1", "-o", "o.tar", "--split", "much"], 2, "--split: write a size"),
        (["create", "a:1", "-o", "o.tar", "--split", "10"], 2, "parts must have 1MiB"),
        (["create", "a:1", "-o", "o.tar", "--platform", "amd64"], 2, "looks like linux/amd64"),
        (["create", "--from-file", "nowhere", "-o", "o.tar"], 2, "nowhere cannot be read"),
        (["create", "a:1", "-o", "o.tar", "--since", "nowhere"], 1, "nowhere is not there"),
        (["create", "a:1", "-o", "o.tar", "--root", ".", "--sign", "nowhere"], 2, "nowhere cannot be read"),
        (["create", "a:1", "-o", "o.tar", "--root", "nowhere"], 2, "nowhere is not there"),
        (["load", "nowhere.tar"], 1, "nowhere.tar is not there, nor is nowhere.tar.001"),
        (["verify", "pyproject.toml"], 1, "is not there"),
        (["create", "a:1", "-o", "gone/o.tar"], 2, "the directory gone is not there"),
        (["inventory", "-o", "gone/i.json"], 2, "the directory gone is not there"),
        (["ls", "."], 1, ". is a directory"),
        (["load", "."], 1, "`cargohold sync oci:.`"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_right_code(
    cargohold: Cargohold,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    found = cargohold("bundle", *arguments)

    assert (found.code, message in found.err) == (code, True), found.err
    assert list(tmp_path.iterdir()) == []


def test_keys_that_are_there_are_not_written_over(cargohold: Cargohold, tmp_path: Path) -> None:
    cargohold("bundle", "keygen", str(tmp_path / "key"))
    before = (tmp_path / "key.key").read_bytes()

    again = cargohold("bundle", "keygen", str(tmp_path / "key"))

    assert again.code == 1
    assert (tmp_path / "key.key").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{}", b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"])
def test_a_key_that_is_none_is_refused(cargohold: Cargohold, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)

    found = cargohold("bundle", "verify", "b.tar", "--key", str(tmp_path / "key"))

    assert found.code == 2
    assert "holds no public key in PEM" in found.err


def test_a_storage_repository_that_is_called_like_a_registry_is_meant_with_from_storage(
    cargohold: Cargohold, root: Path, tmp_path: Path
) -> None:
    name = RepositoryName.parse("docker.io/library/alpine")
    asyncio.run(push(place(root), name, AMD, "3"))

    made = cargohold(
        "bundle", "create", "--root", str(root), "--from-storage", "docker.io/alpine:3", "-o", str(tmp_path / "o.tar")
    )

    assert "1 images" in made.out


@pytest.mark.parametrize("limit", ["LARGEST_INDEX", "MOST_ENTRIES"])
def test_a_bundle_that_could_not_be_loaded_is_not_made(
    cargohold: Cargohold, root: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(f"registry.mirror.bundle_writer.{limit}", 8)

    ended = cargohold("bundle", "create", "--root", str(root), "team/app:1", "-o", "out.tar")

    assert (ended.code, Path("out.tar").exists()) == (1, False)
    assert "make several, each with a part of them" in ended.err


def rot(root: Path, content: Content) -> Path:
    """Change a byte of what lies under a digest; where that is."""
    path = root / "docker/registry/v2/blobs/sha256" / content.digest[7:9] / content.digest[7:] / "data"
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    return path


@pytest.mark.parametrize("rotten", [AMD.manifest, ARM.manifest, index([AMD, ARM]).manifest])
def test_a_manifest_that_has_rotted_stops_no_inventory_and_is_healed_by_the_next_bundle(
    cargohold: Cargohold, root: Path, closed: Path, rotten: Content
) -> None:
    create = ["bundle", "create", "--root", str(root), "team/app:1", "team/app:multi", "-o", "out.tar"]
    cargohold(*create)
    cargohold("bundle", "load", "out.tar", "--root", str(closed))
    path = rot(closed, rotten)

    taken = cargohold("bundle", "inventory", "--root", str(closed), "-o", "inventory.json")
    cargohold(*create, "--since", "inventory.json")
    loaded = cargohold("bundle", "load", "out.tar", "--root", str(closed))

    assert (taken.code, loaded.code) == (0, 0), taken.err + loaded.err
    assert path.read_bytes() == rotten.data


def test_an_image_of_schema_1_in_an_old_storage_stops_no_inventory(cargohold: Cargohold, root: Path) -> None:
    old = Content("application/vnd.docker.distribution.manifest.v1+json", b'{"schemaVersion": 1, "name": "old"}')
    base, digest = root / "docker/registry/v2", old.digest.removeprefix("sha256:")
    for path, data in (
        (f"blobs/sha256/{digest[:2]}/{digest}/data", old.data),
        (f"repositories/old/_manifests/revisions/sha256/{digest}/link", old.digest.encode()),
        ("repositories/old/_manifests/tags/1/current/link", old.digest.encode()),
    ):
        (base / path).parent.mkdir(parents=True)
        (base / path).write_bytes(data)

    taken = cargohold("bundle", "inventory", "--root", str(root), "-o", "inventory.json")
    again = cargohold("bundle", "create", "--root", str(root), "team/app:1", "-o", "b.tar", "--since", "inventory.json")

    assert (taken.code, "1 unchanged and left out" in again.out) == (0, True), taken.err
    assert "3 images" in taken.err
