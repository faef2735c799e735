"""What a probe makes of a server's answers."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.settings import ServerSettings, Settings
from registry.cli.failure import Failure
from registry.cli.health import health
from registry.cli.probe import NotReady, ask, connection_by, connection_to


@contextmanager
def answering(status: int, body: bytes) -> Iterator[int]:
    """A server that gives every GET this answer; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_200_is_ready() -> None:
    with answering(200, b"{}") as port:
        ask(connection_to(f"http://127.0.0.1:{port}", 5))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"status": "unavailable", "problem": "the disk is full"}', r"not ready \(503\): the disk is full$"),
        (b"go away", r"not ready \(503\): go away$"),
        (b'["list"]', r"not ready \(503\): \[\"list\"\]$"),
    ],
)
def test_anything_else_is_not_and_the_reason_is_passed_on(body: bytes, said: str) -> None:
    with answering(503, body) as port, pytest.raises(NotReady, match=said):
        ask(connection_to(f"http://127.0.0.1:{port}", 5))


@pytest.mark.parametrize(
    ("listen", "host"), [("0.0.0.0:5000", "127.0.0.1"), ("[::]:5000", "::1"), ("10.0.0.5:5000", "10.0.0.5")]
)
def test_a_server_that_listens_everywhere_is_asked_over_the_loopback(listen: str, host: str) -> None:
    connection = connection_by(Settings(server=ServerSettings(listen=listen)), 5)

    assert (connection.host, connection.port) == (host, 5000)


def test_who_asks_a_server_that_wants_client_certificates_is_told_why_it_fails(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("server: {tls: {certificate: c.pem, key: k.pem, client_ca: a.pem}}\n")

    with answering(200, b"") as port, pytest.MonkeyPatch.context() as environment:
        environment.setenv("CARGOHOLD_SERVER__LISTEN", f"127.0.0.1:{port}")
        with pytest.raises(Failure, match=r"client certificate \(server.tls.client_ca\)"):
            health(None, tmp_path / "c.yml")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CARGOHOLD_SERVER__LISTEN", f"127.0.0.1:{port}")  # which nobody has now
        with pytest.raises(Failure, match=r"refused$"):
            health(None, tmp_path / "c.yml")
