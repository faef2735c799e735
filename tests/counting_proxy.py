"""An HTTP proxy in front of a registry on the loopback: it counts requests, and fails those that a test names.

Knows HTTP/1.1 as registries speak it; must not know what is asked. Answers are passed on byte for byte.
"""

import http.client
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_BLOCK = 64 * 1024
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "date", "server"})


@dataclass
class Fault:
    """What happens to the next `times` requests whose `METHOD path` fits `pattern`: an answer of the proxy's own if
    there is a `status`; else the upstream's, cut off after `cut` bytes of its body, or with its last byte changed.
    """

    pattern: str
    times: int = 1
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    corrupt: bool = False


class CountingProxy:
    """Listens on the loopback and passes on to `port`; `bytes_per_second` is what the line to it carries (0: any)."""

    def __init__(self, port: int, bytes_per_second: int = 0) -> None:
        self.target = port
        self.rate = bytes_per_second
        self._lock = threading.Lock()
        self.connections: set[socket.socket] = set()
        self._requests: Counter[str] = Counter()
        self._faults: list[Fault] = []
        self._passed = 0
        self._held_after: int | None = None
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="counting-proxy")
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def count(self, pattern: str) -> int:
        """How many requests have come whose `METHOD path` fits the regular expression."""
        with self._lock:
            return sum(number for text, number in self._requests.items() if re.search(pattern, text))

    def requests(self) -> Counter[str]:
        """All requests that have come, as `METHOD path`."""
        with self._lock:
            return Counter(self._requests)

    def forget(self) -> None:
        """Count from nothing."""
        with self._lock:
            self._requests.clear()

    def fail(self, fault: Fault) -> None:
        """Let a fault happen."""
        with self._lock:
            self._faults.append(fault)

    def mend(self) -> None:
        """Let no fault happen any more."""
        with self._lock:
            self._faults.clear()

    def hold_after(self, sent: int) -> None:
        """Stop each body after so many bytes until `release`."""
        self._held_after = sent
        self._released.clear()

    def release(self) -> None:
        """Go on."""
        self._held_after = None
        self._released.set()

    def passed(self) -> int:
        """Bytes of bodies that have gone out."""
        return self._passed

    def wait_for(self, patterns: Iterable[str], seconds: float = 60.0) -> None:
        """Return when a request has come for each pattern. Raises `TimeoutError`."""
        deadline = time.monotonic() + seconds
        while not all(self.count(pattern) for pattern in patterns):
            if time.monotonic() > deadline:
                raise TimeoutError(f"of these not all were asked for: {sorted(patterns)}; but: {self.requests()}")
            time.sleep(0.02)  # between two looks at what another process does

    def close(self) -> None:
        """Listen no longer, and end every connection."""
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        with self._lock:
            for connection in list(self.connections):
                with suppress(OSError):  # it may be gone already
                    connection.shutdown(socket.SHUT_RDWR)

    def note(self, request: str) -> Fault | None:
        """A request has come; what is to happen to it."""
        with self._lock:
            self._requests[request] += 1
            for fault in self._faults:
                if fault.times > 0 and re.search(fault.pattern, request):
                    fault.times -= 1
                    return fault
        return None

    def pace(self, sent: int, block: int, since: float) -> None:
        """A block has gone out: wait as long as a slow line would have taken, or a test wants."""
        with self._lock:
            self._passed += block
        if self._held_after is not None and sent >= self._held_after:
            self._released.wait()
        if self.rate:
            time.sleep(max(0.0, since + sent / self.rate - time.monotonic()))


def _handler(proxy: CountingProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            proxy.connections.add(self.connection)

        def finish(self) -> None:
            proxy.connections.discard(self.connection)
            super().finish()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def _serve(self) -> None:
            fault = proxy.note(f"{self.command} {self.path}")
            with suppress(ConnectionError, http.client.HTTPException):
                if fault is not None and fault.status:
                    _answer(self, fault)
                else:
                    _pass_on(self, proxy, fault)
                return
            self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    return Handler


def _answer(handler: BaseHTTPRequestHandler, fault: Fault) -> None:
    body = b'{"errors":[{"code":"UNKNOWN","message":"as the test wants it"}]}'
    handler.send_response(fault.status)
    for name, value in {"content-type": "application/json", **fault.headers}.items():
        handler.send_header(name, value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def _pass_on(handler: BaseHTTPRequestHandler, proxy: CountingProxy, fault: Fault | None) -> None:
    upstream = http.client.HTTPConnection("127.0.0.1", proxy.target, timeout=60)
    try:
        length = int(handler.headers.get("content-length", "0"))
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in _HOP}
        body = handler.rfile.read(length) if length else None
        upstream.request(handler.command, handler.path, body, headers)
        with upstream.getresponse() as answer:  # its file keeps the connection open if it is left to itself
            handler.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP - {"content-length"}:
                    handler.send_header(name, value)
            if handler.command != "HEAD" and "content-length" not in answer.headers:
                handler.send_header("content-length", "0")
            handler.end_headers()
            _pass_body(handler, proxy, answer, fault)
    finally:
        upstream.close()


def _pass_body(
    handler: BaseHTTPRequestHandler, proxy: CountingProxy, answer: http.client.HTTPResponse, fault: Fault | None
) -> None:
    sent, since = 0, time.monotonic()
    left = int(answer.headers.get("content-length", "0")) if handler.command != "HEAD" else 0
    while left and (block := answer.read(min(_BLOCK, left))):
        left -= len(block)
        if fault is not None and fault.cut is not None and sent + len(block) > fault.cut:
            handler.wfile.write(block[: fault.cut - sent])
            raise ConnectionAbortedError
        if fault is not None and fault.corrupt and not left:
            block = block[:-1] + bytes([block[-1] ^ 1])
        handler.wfile.write(block)
        sent += len(block)
        proxy.pace(sent, len(block), since)
    if left:
        raise ConnectionAbortedError


@contextmanager
def counting_proxy(port: int, bytes_per_second: int = 0) -> Iterator[CountingProxy]:
    """A proxy that is gone afterwards; see `CountingProxy`."""
    proxy = CountingProxy(port, bytes_per_second)
    try:
        yield proxy
    finally:
        proxy.close()
