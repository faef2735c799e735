"""Three replicas over one bucket, behind nginx that gives each request to the next one.

`python -m tests.buckets.replicas ARGUMENTS` runs pytest with `--registry-url` at that address: so what is said about
one server is asked of three, and requests of one upload go to all of them. `--one ARGUMENTS` asks one replica, without
nginx: for tests of what that would not let through.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.buckets.gateway import Gateway, running_gateway
from tests.buckets.proxy import Proxy
from tests.live_server import START_SECONDS, LiveServer, ReservedPort, answers_at, live_server
from tests.programs import need

COUNTED = {"CARGOHOLD_CLEANUP__INTERVAL_SECONDS": "0", "CARGOHOLD_STORAGE__S3__READ_TIMEOUT_SECONDS": "60"}
"""Settings of a server whose requests are counted: it asks for nothing by itself that it asks for a client, too, and
does not ask again where the machine is slow."""

_COUNT = 3
_POLL_SECONDS = 0.02
_NGINX = """\
user root;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
worker_processes 1;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream replicas {{
        {servers}
        keepalive 32;
    }}
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 0;
        location / {{
            proxy_pass http://replicas;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_read_timeout 300s;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Replicas:
    """Servers over one bucket, and the address in front of them."""

    url: str
    servers: Sequence[LiveServer]


@contextmanager
def three_replicas(directory: Path, settings: Mapping[str, str]) -> Iterator[Replicas]:
    """Start replicas with these settings (environment variables) and nginx in front; all are killed afterwards."""
    with ExitStack() as stack:
        servers = []
        for number in range(_COUNT):
            own = directory / f"replica-{number}"
            own.mkdir()
            servers.append(stack.enter_context(live_server(own, environment=settings)))
        yield Replicas(stack.enter_context(_nginx(directory, servers)), servers)


def bucket_settings(gateway: Gateway, endpoint: str, bucket: str) -> dict[str, str]:
    """The settings of a server over a bucket."""
    values = {
        "BUCKET": bucket,
        "PREFIX": "a/part",
        "ENDPOINT": endpoint,
        "ADDRESSING": "path",
        "ACCESS_KEY_ID": gateway.access_key,
        "SECRET_ACCESS_KEY": gateway.secret_key,
    }
    return {f"CARGOHOLD_STORAGE__S3__{name}": value for name, value in values.items()}


@contextmanager
def _nginx(directory: Path, servers: Sequence[LiveServer]) -> Iterator[str]:
    port = ReservedPort()
    lines = "\n        ".join(f"server {server.address} max_fails=0;" for server in servers)
    configuration = directory / "nginx.conf"
    configuration.write_text(_NGINX.format(directory=directory, port=port.number, servers=lines))
    log = directory / "nginx.log"
    command = [need("nginx"), "-e", str(log), "-p", str(directory), "-c", str(configuration)]
    with running_balancer(command, port, log) as url:
        yield url


@contextmanager
def running_balancer(command: Sequence[str], port: ReservedPort, log: Path) -> Iterator[str]:
    """A program that gives requests on to replicas: its URL, once it answers. It and the port are gone afterwards.

    What it says is added to `log`. Raises `RuntimeError` if it does not come up.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        address = f"127.0.0.1:{port.number}"
        deadline = time.monotonic() + START_SECONDS
        while not answers_at(address, "/v2/"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not answer:\n{log.read_text()}")
            time.sleep(_POLL_SECONDS)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()
        port.close()


def _main() -> int:
    with tempfile.TemporaryDirectory(prefix="cargohold-replicas-") as text:
        directory = Path(text)
        with running_gateway(directory) as gateway:
            proxy = Proxy(gateway.port)
            settings = bucket_settings(gateway, proxy.endpoint, gateway.create_bucket())
            with three_replicas(directory, settings) as replicas:
                one = sys.argv[1:2] == ["--one"]
                url = replicas.servers[0].url if one else replicas.url
                command = [sys.executable, "-m", "pytest", "--registry-url", url, *sys.argv[1 + one :]]
                return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(_main())
