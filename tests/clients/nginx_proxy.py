"""An nginx of the tests' own, with a certificate, in front of a server on the loopback.

Knows how to start and stop `nginx`; what it passes on, and how, stands in the lines that it is given.
"""

import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.clients.commands import run
from tests.live_server import START_SECONDS, ReservedPort
from tests.programs import need

_POLL_SECONDS = 0.02
_CONFIGURATION = """\
user root;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {directory}/certificate.pem;
        ssl_certificate_key {directory}/key.pem;
        {lines}
    }}
}}
"""


@contextmanager
def nginx_proxy(directory: Path, lines: str) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Run nginx over TLS with `lines` inside its `server { … }`; gives HOST:PORT and a context that trusts it."""
    program = need("nginx")
    _make_certificate(directory)
    trust = ssl.create_default_context(cafile=directory / "certificate.pem")
    port = ReservedPort()
    configuration = directory / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(directory=directory, port=port.number, lines=lines))
    log = directory / "nginx.log"
    command = [program, "-e", str(log), "-p", str(directory), "-c", str(configuration)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        address = f"127.0.0.1:{port.number}"
        _wait_ready(process, address, trust, log)
        yield address, trust
    finally:
        process.terminate()
        process.wait()
        port.close()


def _make_certificate(directory: Path) -> None:
    run(
        *(need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", directory / "key.pem", "-out", directory / "certificate.pem"),
    )


def _wait_ready(process: subprocess.Popen[bytes], address: str, trust: ssl.SSLContext, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"nginx ended with {process.returncode}:\n{log.read_text()}")
        if _answers(address, trust):
            return
        time.sleep(_POLL_SECONDS)
    raise TimeoutError(f"nginx did not answer within {START_SECONDS:g} s:\n{log.read_text()}")


def _answers(address: str, trust: ssl.SSLContext) -> bool:
    try:
        return httpx.get(f"https://{address}/v2/", verify=trust, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
