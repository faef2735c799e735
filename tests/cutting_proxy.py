"""A TCP forwarder that cuts one connection at a chosen byte: a bad network that can be repeated exactly.

Knows bytes and sockets; must not know HTTP. The beginning of each block that clients send is kept for the test to read.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Direction = Literal["to server", "to client"]
_BLOCK = 65536
_KEPT = 2048


class CuttingProxy:
    """Listens on a port of its own and forwards to a server on the loopback.

    The first connection that has carried `cut_after` bytes in `direction` is closed there and then, both ways;
    everything before and afterwards passes.
    """

    def __init__(self, server_port: int, direction: Direction, cut_after: int) -> None:
        self._server_port = server_port
        self._direction = direction
        self._cut_after = cut_after
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.was_cut = False
        self.sent_by_clients: list[bytes] = []
        self._start(self._accept)

    def close(self) -> None:
        """Close all connections and wait for all threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()  # nothing is accepted from here on
        self._listener.close()
        with self._lock:
            for each in self._sockets:
                _hang_up(each)
        for thread in self._threads[1:]:
            thread.join()
        for each in self._sockets:
            each.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="cutting-proxy")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # `close` shut the listener down
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except ConnectionRefusedError:  # the server is down; the client learns of it as it would without us
                client.close()
                continue
            with self._lock:
                self._sockets |= {client, server}
            self._start(self._forward, client, server, "to server")
            self._start(self._forward, server, client, "to client")

    def _forward(self, source: socket.socket, target: socket.socket, direction: Direction) -> None:
        carried = 0
        with suppress(OSError):  # the other thread of this connection, or `close`, may hang up at any time
            while block := source.recv(_BLOCK):
                carried += len(block)
                if direction == "to server":
                    self.sent_by_clients.append(block[:_KEPT])
                if self._cuts(direction, carried):
                    break
                target.sendall(block)
        _hang_up(source)
        _hang_up(target)

    def _cuts(self, direction: Direction, carried: int) -> bool:
        with self._lock:
            if self.was_cut or direction != self._direction or carried < self._cut_after:
                return False
            self.was_cut = True
            return True


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # it may be gone already
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting_proxy(server_port: int, direction: Direction, cut_after: int) -> Iterator[CuttingProxy]:
    """A proxy that is gone afterwards; see `CuttingProxy`. `cut_after` in bytes."""
    proxy = CuttingProxy(server_port, direction, cut_after)
    try:
        yield proxy
    finally:
        proxy.close()
