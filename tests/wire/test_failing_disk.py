"""A full disk, and one that turns read-only in the middle of a push: an answer, no half-written state, life goes on."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.disks import mounted
from tests.images import OCI_INDEX, index, random_bytes, random_image
from tests.live_server import LiveServer, live_server
from tests.programs import need
from tests.wire.bystander import bystander
from tests.wire.repository import Repository, digest_of
from tests.wire.tree import Storage
from tests.wire.wire import Reply, Wire

_DISK = 16 * 1024 * 1024


@pytest.fixture
def disk_server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server on a disk of its own of 16 MiB."""
    with mounted(tmp_path / "data", str(_DISK)), live_server(tmp_path) as server:
        yield server


@pytest.fixture
def full(disk_server: LiveServer, seed: int) -> Iterator[Repository]:
    """A repository on that server; what was there before reads back afterwards."""
    wire = Wire(disk_server.url)
    with bystander(wire, seed):
        yield Repository(wire, "team/app")


@pytest.fixture
def storage(disk_server: LiveServer) -> Storage:
    return Storage(disk_server.root)


@pytest.fixture
def fill(disk_server: LiveServer) -> Callable[[int], None]:
    """Leaves this many bytes free on the disk."""

    def leave(free: int) -> None:
        status = os.statvfs(disk_server.root)
        with (disk_server.root / "ballast").open("ab") as ballast:
            size = ballast.tell() + status.f_bavail * status.f_frsize - free
            if size < ballast.tell():
                ballast.truncate(size)
            else:
                os.posix_fallocate(ballast.fileno(), 0, size)

    return leave


def _remount(server: LiveServer, mode: str) -> None:
    subprocess.run([need("mount"), "-o", f"remount,{mode}", str(server.root)], check=True)


def _assert_full(reply: Reply) -> None:
    assert (reply.status, reply.codes) == (507, ["UNAVAILABLE"]), reply.body
    assert "no room is left on the storage" in reply.message
    assert int(reply.header("Retry-After")) > 0


@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_blob_larger_than_the_disk(full: Repository, storage: Storage, seed: int, in_chunks: bool) -> None:
    data = random_bytes(_DISK + 1_000_000, seed)
    body = [data[at : at + 100_000] for at in range(0, len(data), 100_000)] if in_chunks else data
    with storage.unchanged():
        _assert_full(full.call("POST", f"blobs/uploads/?digest={digest_of(data)}", body=body))
        location = full.begin()
        _assert_full(full.finish(location, digest_of(data), body))
        _assert_full(full.append(location, body))
        assert full.wire.call("GET", location).header("Range") == "0-0", "the room is given back at once"
        full.wire.call("DELETE", location)

    assert full.push_blob(data[:1_000_000])


def test_a_session_outlives_a_full_disk(full: Repository, fill: Callable[[int], None], seed: int) -> None:
    data = random_bytes(4_000_000, seed)
    location = full.begin()
    full.append(location, data[:1_000_000])
    fill(500_000)

    _assert_full(full.append(location, data[1_000_000:], f"1000000-{len(data) - 1}"))
    assert full.offset(location) == 1_000_000
    fill(5_000_000)

    assert full.finish(location, digest_of(data), data[1_000_000:]).status == 201
    assert full.call("GET", f"blobs/{digest_of(data)}").body == data


def test_no_room_for_the_last_step(full: Repository, storage: Storage, fill: Callable[[int], None], seed: int) -> None:
    """The bytes fit, the link does not: nothing is visible, and the push can go on when there is room."""
    data = random_bytes(1_000_000, seed)
    there = full.push_blob(b"there")
    location = full.begin()
    full.append(location, data)
    fill(0)
    with storage.unchanged():
        _assert_full(full.finish(location, digest_of(data)))
        assert full.call("HEAD", f"blobs/{digest_of(data)}").status == 404
        _assert_full(Repository(full.wire, "other").call("POST", f"blobs/uploads/?mount={there}&from={full.name}"))
    fill(5_000_000)

    assert full.finish(location, digest_of(data)).status == 201
    assert full.call("GET", f"blobs/{digest_of(data)}").body == data


def test_no_room_for_a_manifest(full: Repository, storage: Storage, fill: Callable[[int], None]) -> None:
    old = full.push("latest", index([]))
    data = index([]).manifest.data + b" " * 100_000
    fill(0)
    with storage.unchanged():
        for reference in ("latest", "new", digest_of(data), f"{digest_of(data)}?tag=latest"):
            _assert_full(full.put_manifest(reference, data, OCI_INDEX))
        assert full.call("HEAD", "manifests/latest").header("Docker-Content-Digest") == old
        assert full.tags() == ["latest"]


def test_pulling_and_deleting_need_no_room(full: Repository, fill: Callable[[int], None], seed: int) -> None:
    value = random_image(seed, layer_size=1000)
    digest = full.push("latest", value)
    fill(0)

    full.assert_holds("latest", value)
    assert full.call("DELETE", f"manifests/{digest}").status == 202
    assert full.call("DELETE", f"blobs/{value.config.digest}").status == 202
    assert full.call("GET", "manifests/latest").status == 404


def test_a_disk_that_turns_read_only_in_the_middle_of_a_push(
    full: Repository, disk_server: LiveServer, storage: Storage, seed: int
) -> None:
    data, value = random_bytes(300_000, seed), random_image(seed, layer_size=1000)
    digest = full.push("latest", value)
    location = full.begin()
    full.append(location, data[:100_000], "0-99999")
    _remount(disk_server, "ro")
    try:
        with storage.unchanged():
            replies = [
                full.append(location, data[100_000:], "100000-299999"),
                full.finish(location, digest_of(data), data[100_000:]),
                full.call("POST", "blobs/uploads/"),
                full.call("POST", f"blobs/uploads/?digest={digest_of(data)}", body=data),
                full.call("POST", f"blobs/uploads/?mount={value.config.digest}&from={full.name}"),
                full.put_manifest("new", index([]).manifest.data, OCI_INDEX),
                full.put_manifest("latest", index([]).manifest.data, OCI_INDEX),
                full.call("DELETE", "manifests/latest"),
                full.call("DELETE", f"manifests/{digest}"),
                full.call("DELETE", f"blobs/{value.config.digest}"),
                full.wire.call("DELETE", location),
            ]
            for reply in replies:
                assert (reply.status, reply.codes) == (503, ["UNAVAILABLE"]), reply.body
                assert "read-only" in reply.message
            full.assert_holds("latest", value)
            assert full.tags() == ["latest"]
    finally:
        _remount(disk_server, "rw")

    assert full.offset(location) == 100_000
    assert full.finish(location, digest_of(data), data[100_000:], "100000-299999").status == 201
    assert full.call("GET", f"blobs/{digest_of(data)}").body == data
