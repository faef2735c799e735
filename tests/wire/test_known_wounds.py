"""What hurt users of other registries, shown on the wire."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.content.keyspace import SCRATCH
from tests.images import Image, index, random_image
from tests.live_server import LiveServer, ReservedPort, live_server
from tests.wire.repository import Repository, digest_of
from tests.wire.tree import Storage, directories
from tests.wire.watching import watching
from tests.wire.wire import Wire


@pytest.fixture
def image(seed: int) -> Image:
    return random_image(seed, layers=3, layer_size=1000)


@pytest.fixture
def replica(server: LiveServer, tmp_path: Path) -> Iterator[Wire]:
    """Another server process over the same directory."""
    port = ReservedPort()
    other = LiveServer(server.root, port.number, tmp_path / "replica.log")
    other.start()
    yield Wire(other.url)
    other.kill()
    port.close()


def _read_everything(repository: Repository, image: Image, tag: str) -> None:
    """Whatever caches, has cached afterwards; asked often enough that every worker has answered."""
    for _ in range(8):
        repository.assert_holds(tag, image)
        for blob in image.blobs:
            assert repository.call("HEAD", f"blobs/{blob.digest}").status == 200


def _is_gone(repository: Repository, image: Image, tag: str) -> None:
    for _ in range(8):
        for reference in (tag, image.manifest.digest):
            assert repository.call("HEAD", f"manifests/{reference}").status == 404
        for blob in image.blobs:
            assert repository.call("HEAD", f"blobs/{blob.digest}").status == 404
            assert repository.call("GET", f"blobs/{blob.digest}").codes == ["BLOB_UNKNOWN"]


def test_delete_push_again_and_pull_with_no_restart(repository: Repository, image: Image) -> None:
    """distribution #3743, #4569, #1803, #2966, #4525: a cached descriptor outlives the blob. The push says that the
    layer exists, the image is broken, a pull gives 0 bytes, and only a restart helps."""
    for _ in range(3):
        repository.push("latest", image)
        _read_everything(repository, image, "latest")

        assert repository.call("DELETE", f"manifests/{image.manifest.digest}").status == 202
        for blob in image.blobs:
            assert repository.call("DELETE", f"blobs/{blob.digest}").status == 202

        _is_gone(repository, image, "latest")
        assert repository.push_content("latest", image.manifest).codes[0] == "MANIFEST_BLOB_UNKNOWN"


def test_all_replicas_see_a_deletion_and_a_new_push_at_once(
    repository: Repository, replica: Wire, image: Image
) -> None:
    """distribution #3743: "restart all replicas"."""
    elsewhere = Repository(replica, repository.name)
    for pushing, looking in ((repository, elsewhere), (elsewhere, repository)):
        pushing.push("latest", image)
        _read_everything(looking, image, "latest")

        looking.call("DELETE", f"manifests/{image.manifest.digest}")
        for blob in image.blobs:
            looking.call("DELETE", f"blobs/{blob.digest}")

        _is_gone(pushing, image, "latest")
        _is_gone(looking, image, "latest")


def test_bytes_that_a_collector_took_are_missed_at_once_and_pushed_again(
    repository: Repository, server: LiveServer, image: Image
) -> None:
    """distribution PR #4849, twuni helm #104: another process collects garbage beneath a running server."""
    repository.push("latest", image)
    _read_everything(repository, image, "latest")
    for content in (*image.blobs, image.manifest):
        hexadecimal = content.digest.partition(":")[2]
        shutil.rmtree(server.root / f"docker/registry/v2/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}")

    _is_gone(repository, image, "latest")
    for blob in image.blobs:
        reply = repository.call("POST", f"blobs/uploads/?mount={blob.digest}&from={repository.name}")
        assert reply.status == 202, "the client is told to upload"
        assert repository.finish(reply.header("Location"), blob.digest, blob.data).status == 201
    assert repository.push_content("latest", image.manifest).status == 201

    _read_everything(repository, image, "latest")


def test_a_start_looks_at_nothing_that_is_stored(own_server: LiveServer, image: Image) -> None:
    """zot #2413: three minutes to start on 1.3 GB, since start-up parses all storage."""
    repository = Repository(Wire(own_server.url), "team/app")
    for number in range(5):
        repository.push(f"t{number}", image)
    own_server.stop()
    places = [own_server.root / name for name in sorted(directories(own_server.root)) if name.startswith("docker")]
    assert len(places) > 20

    with watching(*places) as watch:
        own_server.start()
        assert watch.opened() == []

        repository.assert_holds("t0", image)
        assert watch.opened() != [], "the watch sees what it should"


def test_a_push_waits_for_nobody_who_reads_all_the_storage(own_server: LiveServer, image: Image) -> None:
    """zot #2999: a push waits up to 30 minutes behind a storage lock held by background work."""
    wire = Wire(own_server.url)
    repository = Repository(wire, "team/app")
    subject = index([]).manifest
    document = {**json.loads(subject.data), "subject": subject.descriptor}
    for number in range(200):
        data = json.dumps({**document, "annotations": {"n": str(number)}}).encode()
        repository.put_manifest(digest_of(data), data, subject.media_type)
    shutil.rmtree(own_server.root / "cargohold/v1/repositories")

    with wire.connect() as reindexing:
        request = f"GET {repository[f'referrers/{subject.digest}']} HTTP/1.1\r\nHost: x\r\n\r\n"
        reindexing.sendall(request.encode())
        repository.push("latest", image)
        repository.assert_holds("latest", image)
    reply = repository.call("GET", f"referrers/{subject.digest}")
    assert len(reply.json["manifests"]) == 200


def test_uploads_that_are_given_up_leave_nothing(repository: Repository, storage: Storage, seed: int) -> None:
    """zot #2598: cancelled uploads fill the disk, and neither garbage collection nor scrub sees them."""
    data = b"%d" % seed * 10_000
    with storage.unchanged():
        for end in ("cancelled", "wrong digest", "single post"):
            location = repository.begin()
            repository.append(location, data)
            if end == "cancelled":
                assert repository.wire.call("DELETE", location).status == 204
            elif end == "wrong digest":
                assert repository.finish(location, digest_of(b"other")).status == 400
            else:
                repository.wire.call("DELETE", location)
                reply = repository.call("POST", f"blobs/uploads/?digest={digest_of(b'other')}", body=data)
                assert reply.status == 400


def test_an_upload_of_a_killed_server_is_seen_and_can_be_cancelled(tmp_path: Path, seed: int) -> None:
    """zot #2598: those of a killed process as well."""
    with live_server(tmp_path) as server:
        repository = Repository(Wire(server.url), "team/app")
        with Storage(server.root).unchanged(but_for=SCRATCH):  # what a killed server was writing by itself stays there
            location = repository.begin()
            with repository.wire.connect() as connection:
                head = (
                    f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
                )
                connection.sendall(head.encode())
                assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
                connection.sendall(b"%d" % seed * 1000)
                server.kill()
            server.start()

            assert repository.wire.call("GET", location).status == 204
            assert repository.wire.call("DELETE", location).status == 204
