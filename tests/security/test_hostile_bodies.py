"""Bodies that are made to exhaust a server: each gets its answer, others are served meanwhile, memory stays bounded."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.images import OCI_INDEX, OCI_MANIFEST, image, index
from tests.live_server import LiveServer
from tests.wire.repository import Repository, digest_of, with_parameters
from tests.wire.tree import Storage
from tests.wire.wire import Wire, raw_exchange, read_reply

_LIMIT = 4 * 1024 * 1024
_MAX_MEMORY = 256 * 1024 * 1024
_INDEX = index([]).manifest.data[:-1]


def _filled(item: bytes, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    head, tail = _INDEX + b',"x":' + opening, closing + b"}"
    count = (_LIMIT - len(head) - len(tail)) // (len(item) + 1)
    return head + b",".join([item] * count) + tail


def _references() -> bytes:
    base = json.loads(image([]).manifest.data)
    layers = [{"mediaType": "a/b", "digest": digest_of(b"%d" % number), "size": 1} for number in range(30_000)]
    return json.dumps({**base, "layers": layers}, separators=(",", ":")).encode()


_HOSTILE = {
    "arrays": (OCI_INDEX, _filled(b"[]")),
    "objects": (OCI_INDEX, _filled(b"{}")),
    "objects in objects": (OCI_INDEX, _filled(b'{"a":{}}')),
    "numbers": (OCI_INDEX, _filled(b"1")),
    "long numbers": (OCI_INDEX, _filled(b"9" * 5000)),
    "one key": (OCI_INDEX, _filled(b'"a":1', b"{", b"}")),
    "depth": (OCI_INDEX, _INDEX + b',"x":' + b"[" * 2_000_000 + b"]" * 2_000_000 + b"}"),
    "an open string": (OCI_INDEX, _INDEX + b',"x":"' + b"\\" * 4_000_000),
    "references": (OCI_MANIFEST, _references()),
    "zeros": (OCI_INDEX, bytes(_LIMIT)),
}


@contextmanager
def _others_are_served(wire: Wire) -> Iterator[list[int]]:
    """Somebody else asks all the time; fails if they are ever not answered."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            statuses.append(wire.call("GET", "/v2/").status)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield statuses
    finally:
        over.set()
        asking.join()
    assert set(statuses) == {200}


@pytest.mark.parametrize(("media_type", "data"), _HOSTILE.values(), ids=_HOSTILE.keys())
def test_a_hostile_manifest_is_refused_and_leaves_nothing(
    wire: Wire, repository: Repository, storage: Storage, media_type: str, data: bytes
) -> None:
    assert len(data) <= _LIMIT
    with storage.unchanged(), _others_are_served(wire):
        reply = repository.put_manifest("latest", data, media_type)

    assert reply.status in (400, 404)
    assert set(reply.codes) <= {"MANIFEST_INVALID", "MANIFEST_BLOB_UNKNOWN"}


def test_memory_stays_bounded_however_many_push_hostile_manifests_at_once(
    wire: Wire, repository: Repository, server: LiveServer | None
) -> None:
    if server is None or server.process is None:
        pytest.skip("looks at the server's memory, which only works with our own")
    threads = [
        threading.Thread(target=repository.put_manifest, args=[f"t{number}", data, media_type])
        for number, (media_type, data) in enumerate([*_HOSTILE.values()] * 6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [peak] = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")]
    assert peak < _MAX_MEMORY


def test_clients_that_stop_in_the_middle_of_a_body_hinder_nobody(wire: Wire, repository: Repository) -> None:
    manifest = index([]).manifest.data
    stopped = []
    for number in range(40):
        if number % 2:
            target, body = with_parameters(repository.begin(), f"digest={digest_of(b'data')}"), b"da"
            head = f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
        else:
            target, body = repository[f"manifests/t{number}"], manifest[:10]
            head = f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(manifest)}\r\n\r\n"
        connection = wire.connect()
        connection.sendall(head.encode() + body)
        stopped.append(connection)

    assert repository.push("latest", index([])) == digest_of(manifest)
    assert repository.push_blob(b"other") == digest_of(b"other")

    for number, connection in enumerate(stopped):
        with connection:
            connection.sendall(b"ta" if number % 2 else manifest[10:])
            assert read_reply(connection, "PUT").status == 201


@pytest.mark.parametrize("size", [1, 2])
def test_a_body_in_the_smallest_of_pieces_arrives_whole(wire: Wire, repository: Repository, size: int) -> None:
    data = bytes(range(256)) * 8
    pieces = b"".join(b"%x;name=value\r\n%b\r\n" % (size, data[at : at + size]) for at in range(0, len(data), size))
    target = with_parameters(repository.begin(), f"digest={digest_of(data)}")
    head = f"PUT {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with wire.connect() as connection:
        connection.sendall(head.encode())
        connection.sendall(pieces)
        connection.sendall(b"0\r\nTrailer: ignored\r\n\r\n")
        assert read_reply(connection, "PUT").status == 201

    assert repository.call("GET", f"blobs/{digest_of(data)}").body == data


@pytest.mark.parametrize(
    "line", [b"0" * 5000 + b"1\r\nx\r\n", b"1;" + b"x" * 5000 + b"\r\nx\r\n", b"1\nx\n", b"1 \r\rx"]
)
def test_a_chunk_that_is_all_head_is_refused(wire: Wire, repository: Repository, storage: Storage, line: bytes) -> None:
    with storage.unchanged():
        location = repository.begin()
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        with wire.connect() as connection:
            assert raw_exchange(connection, head.encode() + line).status == 400
        repository.wire.call("DELETE", location)


def test_a_gigabyte_that_is_announced_and_never_comes_costs_nothing(
    wire: Wire, repository: Repository, storage: Storage
) -> None:
    with storage.unchanged():
        location = repository.begin()
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n"
        with wire.connect() as connection:
            reply = raw_exchange(connection, head.encode())
        assert (reply.status, reply.codes) == (400, ["BLOB_UPLOAD_INVALID"])
        repository.wire.call("DELETE", location)
