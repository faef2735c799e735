"""`cargohold health`: ask a server whether it can serve, for container and service managers."""

import http.client
import json
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from registry.cli import output
from registry.cli.failure import MISUSED, Failure
from registry.cli.settings_options import ConfigOption, load_settings

if TYPE_CHECKING:
    from config.settings import Settings

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # read, not bound to


def health(
    url: Annotated[
        str | None,
        typer.Argument(metavar="[URL]", help="The server; by default the one of the settings.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait.")] = 5.0,
) -> None:
    """Ask a running server whether it can serve.

    Exits with 0 if the server can read and write its storage, else with 1 and the reason.

    \b
    Examples:
      cargohold health
      cargohold health http://127.0.0.1:5000
    """
    connection = _to_url(url, timeout) if url else _to_own(load_settings(config, {}), timeout)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(65536)
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"the server does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise Failure(f"the server is not ready ({answer.status}): {_problem(body)}")
    output.result("ready")


def _problem(body: bytes) -> str:
    try:
        return str(json.loads(body)["problem"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")


def _to_url(url: str, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Failure(f"{url} is not a URL such as http://127.0.0.1:5000", MISUSED)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, parts.port, timeout=timeout)


def _to_own(settings: "Settings", timeout: float) -> http.client.HTTPConnection:
    """To the server of these settings, which runs on this machine: its certificate need not name the loopback."""
    from config.addresses import UnixAddress  # noqa: PLC0415  # start-up time

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


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
