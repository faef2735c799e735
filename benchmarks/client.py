"""The load: HTTP/1.1 on bare sockets, cheap enough not to be what is measured. Every status is checked."""

import hashlib
import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

_CHUNK = 32 * 1024
_ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"


class Unexpected(Exception):
    """The registry did not answer as the spec says: there is nothing to measure."""


class Blob:
    """Random bytes, no two alike, with their digest, and framed as docker sends them."""

    _noise = os.urandom(1 << 20)

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = bytearray(self._noise * (size // len(self._noise) + 1))[:size]
        self.data[:32] = os.urandom(32)[:size]

    @cached_property
    def digest(self) -> str:
        """sha256 of the bytes."""
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"

    @cached_property
    def framed(self) -> bytearray:
        """The bytes in the chunked transfer coding, 32 KiB a chunk."""
        framed = bytearray()
        view = memoryview(self.data)
        for start in range(0, self.size, _CHUNK):
            part = view[start : start + _CHUNK]
            framed += b"%x\r\n" % len(part)
            framed += part
            framed += b"\r\n"
        return framed + b"0\r\n\r\n"


@dataclass
class Response:
    """A response's head, and what followed it in the same read."""

    status: int
    fields: dict[str, str]
    rest: bytes


class Connection:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, head: str, body: bytes | bytearray | memoryview = b"", *, expect: int) -> Response:
        """Send a request (`head` without the empty line), read the response's head. Raises `Unexpected`."""
        self.socket.sendall(f"{head}\r\nHost: bench\r\nAccept: {_ACCEPT}\r\n\r\n".encode())
        if body:
            self.socket.sendall(body)
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(65536)
            if not more:
                raise Unexpected(f"connection closed after {head.splitlines()[0]}")
            data += more
        text, _, rest = data.partition(b"\r\n\r\n")
        lines = text.decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        if status != expect:
            raise Unexpected(f"{head.splitlines()[0]}: {lines[0]} instead of {expect}: {rest[:300]!r}")
        return Response(status, {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}, rest)

    def begin(self, repository: str) -> str:
        """Open an upload session; return its path with a query that another parameter can follow."""
        head = f"POST /v2/{repository}/blobs/uploads/ HTTP/1.1\r\nContent-Length: 0"
        return _path(self.request(head, expect=202).fields["location"])

    def push_put(self, repository: str, blob: Blob) -> None:
        """POST, then PUT of the whole."""
        where = self.begin(repository)
        self.request(f"PUT {where}digest={blob.digest} HTTP/1.1\r\nContent-Length: {blob.size}", blob.data, expect=201)

    def push_patch(self, repository: str, blob: Blob) -> None:
        """POST, PATCH in the chunked transfer coding, PUT without a body: docker's way."""
        where = self.begin(repository)
        head = f"PATCH {where.rstrip('?&')} HTTP/1.1\r\nTransfer-Encoding: chunked"
        where = _path(self.request(head, blob.framed, expect=202).fields["location"])
        self.request(f"PUT {where}digest={blob.digest} HTTP/1.1\r\nContent-Length: 0", expect=201)

    def pull(self, path: str, digest: str = "") -> int:
        """GET, drop the body (or check it against `digest`); return its size."""
        response = self.request(f"GET {path} HTTP/1.1", expect=200)
        size = left = int(response.fields["content-length"])
        hasher = hashlib.sha256(response.rest) if digest else None
        left -= len(response.rest)
        buffer = bytearray(1 << 20)
        while left:
            count = self.socket.recv_into(buffer, min(left, len(buffer)))
            if not count:
                raise Unexpected(f"GET {path}: the body ended {left} bytes early")
            if hasher is not None:
                hasher.update(memoryview(buffer)[:count])
            left -= count
        if hasher is not None and f"sha256:{hasher.hexdigest()}" != digest:
            raise Unexpected(f"GET {path}: other bytes than were pushed")
        return size

    def body(self, path: str) -> bytes:
        """GET of a small JSON document, framed either way."""
        response = self.request(f"GET {path} HTTP/1.1", expect=200)
        data = response.rest
        if "content-length" in response.fields:
            while len(data) < int(response.fields["content-length"]):
                data += self.socket.recv(65536)
            return data
        while not data.endswith(b"0\r\n\r\n"):
            data += self.socket.recv(65536)
        return data

    def close(self) -> None:
        """End it."""
        self.socket.close()


def push_image(port: int, repository: str, tag: str, layer: Blob) -> str:
    """A small image of one layer; returns the manifest's digest."""
    connection = Connection(port)
    config = Blob(64)
    for blob in (config, layer):
        connection.push_put(repository, blob)
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
        }
    ).encode()
    head = f"PUT /v2/{repository}/manifests/{tag} HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {len(manifest)}"
    digest = connection.request(head, manifest, expect=201).fields["docker-content-digest"]
    connection.close()
    return digest


def at_once(count: int, work: Callable[[int], object]) -> float:
    """Run `work(0)` … `work(count - 1)` in threads; return the seconds until all are done."""
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # told to the caller below
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.perf_counter() - started


def requests_per_second(
    port: int, method: str, path: str, *, connections: int, seconds: float, authorization: str = ""
) -> float:
    """Send the same request over and over on several connections, one outstanding on each; return the rate."""
    login = f"\r\nAuthorization: {authorization}" if authorization else ""
    request = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAccept: {_ACCEPT}{login}\r\n\r\n".encode()
    probe = Connection(port)
    first = probe.request(f"{method} {path} HTTP/1.1{login}", expect=200)
    body = 0 if method == "HEAD" else int(first.fields["content-length"])
    probe.close()
    selector = selectors.DefaultSelector()
    opened = [Connection(port).socket for _ in range(connections)]
    waiting: dict[socket.socket, int] = {}
    for each in opened:
        selector.register(each, selectors.EVENT_READ)
        each.sendall(request)
        waiting[each] = -1
    done = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        for key, _ in selector.select():
            each = key.fileobj  # type: ignore[assignment]
            data = each.recv(65536)
            left = waiting[each]
            if left < 0:
                if not data.startswith(b"HTTP/1.1 200"):
                    raise Unexpected(f"{method} {path}: {data[:200]!r}")
                left = data.index(b"\r\n\r\n") + 4 + body
            left -= len(data)
            if left > 0:
                waiting[each] = left
                continue
            done += 1
            waiting[each] = -1
            each.sendall(request)
    elapsed = time.perf_counter() - started
    for each in opened:
        each.close()
    selector.close()
    return done / elapsed


def _descriptor(kind: str, blob: Blob) -> dict[str, object]:
    return {"mediaType": kind, "digest": blob.digest, "size": blob.size}


def _path(location: str) -> str:
    path = location[location.index("/v2/") :]
    return f"{path}&" if "?" in path else f"{path}?"
