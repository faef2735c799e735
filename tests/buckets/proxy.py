"""A proxy in front of an S3 server: it counts requests, breaks those that a test names, and lets one change of a key
through at a time.

The last of these makes up for versitygw, whose conditional requests look first and write then: two at the same moment
may both succeed, which S3 promises never to happen. And it says of an upload that is still being completed that it is
complete.
"""

import http.client
import select
import socket
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import BinaryIO

from tests.buckets.faults import Answer, Before, CutAnswer, CutRequest, Fault, Hang, LostAnswer, Rule
from tests.buckets.requests import S3Request, recognise

_BLOCK = 256 * 1024
_PATIENCE = 60.0
_HOP = frozenset({"connection", "transfer-encoding", "content-length"})


class _Broken(Exception):
    """The connection is to be closed now."""


@dataclass(frozen=True, slots=True)
class _Head:
    request: S3Request
    method: str
    text: bytes
    length: int


class Proxy:
    """Listens on the loopback; the S3 server is at `port` of the loopback."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._rules: list[Rule] = []
        self._seen: list[S3Request] = []
        self._lock = threading.Lock()
        self._changes: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._open: set[socket.socket] = set()
        self._resting: set[socket.socket] = set()
        self._answered: Counter[socket.socket] = Counter()
        self._moved = threading.Condition(self._lock)
        threading.Thread(target=self._accept, daemon=True).start()

    def break_(self, operation: str, fault: Fault, *, times: int = 1, part: str = "") -> None:
        """Let the next `times` requests of an operation, on keys with `part` in them, meet a fault."""
        with self._lock:
            self._rules.append(Rule(operation, fault, times, part))

    def mend(self) -> None:
        """Break nothing any longer."""
        with self._lock:
            for rule in self._rules:
                if isinstance(rule.fault, Hang):
                    rule.fault.over.set()
            self._rules.clear()

    @contextmanager
    def counting(self) -> Iterator[list[S3Request]]:
        """The requests that pass while the context lasts, there when it ends; without what servers do by themselves.

        A server that looks whether garbage is to be collected reads what a push reads: give it `replicas.COUNTED`.
        """
        requests: list[S3Request] = []
        with self._lock:
            start = len(self._seen)
        yield requests
        with self._lock:
            requests += [request for request in self._seen[start:] if not request.is_a_chore]

    def left(self) -> int:
        """How many faults are still to come."""
        with self._lock:
            return sum(rule.times for rule in self._rules)

    def settle(self) -> None:
        """Return when all requests have ended that have come by now, also of clients that were killed meanwhile."""
        with self._moved:
            waiting = {connection: self._answered[connection] for connection in self._open}
            while waiting := {one: count for one, count in waiting.items() if not self._is_settled(one, count)}:
                assert self._moved.wait(_PATIENCE), "a request has no end"

    def _is_settled(self, connection: socket.socket, answered: int) -> bool:
        if connection not in self._open or self._answered[connection] > answered:
            return True
        return connection in self._resting and not select.select([connection], [], [], 0)[0]

    def close(self) -> None:
        """End every connection."""
        self.mend()
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client, client.makefile("rb") as incoming, suppress(_Broken, OSError, http.client.HTTPException):
            while self._wait(client) and (head := _read_head(incoming, client)) is not None:
                self._pass(head, incoming, client)
                with self._moved:
                    self._answered[client] += 1
                    self._moved.notify_all()
        with self._moved:
            self._open.discard(client)
            del self._answered[client]
            self._moved.notify_all()

    def _wait(self, client: socket.socket) -> bool:
        """Until the next request comes; false if none does."""
        with self._moved:
            self._resting.add(client)
            self._moved.notify_all()
        try:
            return bool(client.recv(1, socket.MSG_PEEK))
        finally:
            with self._moved:
                self._resting.discard(client)

    def _pass(self, head: _Head, incoming: BinaryIO, client: socket.socket) -> None:
        fault = self._fault(head.request)
        match fault:
            case Answer():
                _read_past(incoming, head.length)
                client.sendall(_error(fault, head.method))
                return
            case Hang(over=over):
                over.wait()
                raise _Broken
            case Before(call=call):
                call()
        with socket.create_connection(("127.0.0.1", self._server)) as server:
            with self._changes[head.request.key] if head.request.changes else nullcontext():
                answer = _ask(head, incoming, server, fault.after if isinstance(fault, CutRequest) else None)
            with closing(answer):  # it holds the connection open, and must not leave that to the garbage collector
                if isinstance(fault, LostAnswer | CutRequest):
                    raise _Broken
                _send_answer(answer, client, fault.after if isinstance(fault, CutAnswer) else None)

    def _fault(self, request: S3Request) -> Fault | None:
        with self._lock:
            self._seen.append(request)
            for rule in self._rules:
                if rule.times and rule.operation in (request.operation, "*") and rule.part in request.key:
                    rule.times -= 1
                    return rule.fault
        return None


def _read_head(incoming: BinaryIO, client: socket.socket) -> _Head | None:
    first = incoming.readline()
    if not first:
        return None
    method, target, _ = first.decode().split(" ", 2)
    lines, headers = [first], dict[str, str]()
    while (line := incoming.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
        if name.lower() != "expect":
            lines.append(line)
    if "expect" in headers:
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    text = b"".join(lines) + b"\r\n"
    return _Head(recognise(method, target, headers), method, text, int(headers.get("content-length", "0")))


def _ask(head: _Head, incoming: BinaryIO, server: socket.socket, limit: int | None) -> http.client.HTTPResponse:
    """Pass a request on, at most `limit` bytes of its body; return the answer when it begins.

    A request that the server got whole is waited for, even if it was to be cut: else the server would still be at it
    when the next change of the key comes.
    """
    server.sendall(head.text)
    _copy(incoming, server, head.length if limit is None else min(limit, head.length))
    if limit is not None and limit < head.length:
        raise _Broken
    answer = http.client.HTTPResponse(server, method=head.method)
    try:
        answer.begin()
    except BaseException:
        answer.close()
        raise
    return answer


def _copy(source: BinaryIO, target: socket.socket, length: int) -> None:
    while length:
        block = source.read(min(_BLOCK, length))
        if not block:
            raise _Broken
        target.sendall(block)
        length -= len(block)


def _read_past(source: BinaryIO, length: int) -> None:
    while length:
        block = source.read(min(_BLOCK, length))
        if not block:
            raise _Broken
        length -= len(block)


def _send_answer(answer: http.client.HTTPResponse, client: socket.socket, limit: int | None) -> None:
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
    lines += [f"{name}: {value}" for name, value in answer.getheaders() if name.lower() not in _HOP]
    length = answer.getheader("content-length")
    body = b""
    if length is None:
        body = answer.read()
        length = str(len(body))
    lines.append(f"content-length: {length}")
    client.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    sent = 0
    while block := answer.read(_BLOCK if limit is None else min(_BLOCK, limit - sent)):
        client.sendall(block)
        sent += len(block)
    if limit is not None:
        raise _Broken


def _error(fault: Answer, method: str) -> bytes:
    body = f"<?xml version='1.0'?><Error><Code>{fault.code}</Code><Message>as the test wants it</Message></Error>"
    head = f"HTTP/1.1 {fault.status} Error\r\ncontent-type: application/xml\r\ncontent-length: {len(body)}\r\n\r\n"
    return (head + ("" if method == "HEAD" else body)).encode()
