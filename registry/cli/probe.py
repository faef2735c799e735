"""Asks a server for `/readyz` over TCP, TLS or a Unix socket. Knows settings and HTTP, nothing of the command line."""

import http.client
import json
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from config.addresses import UnixAddress
from config.settings import Settings

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # read, not bound to
_MAX_ANSWER = 65536


class NotReady(Exception):
    """The server does not answer, or says that it cannot serve; the message says why."""


def connection_to(url: str, timeout: float) -> http.client.HTTPConnection:
    """To the server at a URL; `timeout` in seconds. Raises `ValueError` if it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in parts.netloc:
        raise ValueError(f"{url} is not a URL such as http://127.0.0.1:5000")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, parts.port, timeout=timeout)


def connection_by(settings: Settings, timeout: float) -> http.client.HTTPConnection:
    """To the server of these settings, which runs on this machine: its certificate need not name the loopback."""
    address = settings.server.address
    if isinstance(address, UnixAddress):
        return _UnixConnection(Path(address.path), timeout)
    host = _EVERYWHERE.get(address.host, address.host)
    if settings.server.tls.certificate is None:
        return http.client.HTTPConnection(host, address.port, timeout=timeout)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, address.port, timeout=timeout, context=context)


def ask(connection: http.client.HTTPConnection) -> None:
    """Return if the server is ready, and close the connection. Raises `NotReady`."""
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(_MAX_ANSWER)
    except (OSError, http.client.HTTPException) as error:
        raise NotReady(f"the server does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise NotReady(f"the server is not ready ({answer.status}): {_problem(body)}")


def _problem(body: bytes) -> str:
    try:
        return str(json.loads(body)["problem"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
