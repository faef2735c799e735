"""Clients reach the registry through nginx with a certificate, as `config/examples/behind-nginx.yml` sets it up."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.clients.docker_engine import DockerEngine
from tests.clients.nginx_proxy import nginx_proxy
from tests.images import random_image, write_docker_archive
from tests.live_server import live_server

EXAMPLE = Path(__file__).parents[2] / "config" / "examples" / "behind-nginx.yml"
TRUST = {"CARGOHOLD_HTTP__TRUSTED_PROXIES": "127.0.0.1"}


def recipe(port: int) -> str:
    """The lines for nginx that the example shows, with the port of the server under test."""
    lines = [line.removeprefix("#     ") for line in EXAMPLE.read_text().splitlines() if line.startswith("#     ")]
    assert any("proxy_pass" in line for line in lines)
    return "\n".join(lines).replace("127.0.0.1:5000", f"127.0.0.1:{port}")


@dataclass(frozen=True)
class Front:
    """What a client sees: an address with TLS, and a connection that trusts it."""

    address: str
    http: httpx.Client


@pytest.fixture(params=["true", "false"], ids=["relative", "absolute"])
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    environment = {**TRUST, "CARGOHOLD_HTTP__RELATIVE_LOCATIONS": request.param}
    with (
        live_server(tmp_path, environment=environment) as server,
        nginx_proxy(tmp_path, recipe(server.port)) as (address, trust),
        httpx.Client(base_url=f"https://{address}", verify=trust, trust_env=False) as http,
    ):
        yield Front(address, http)


def test_docker_pushes_and_pulls_through_nginx(docker: DockerEngine, front: Front, seed: int, tmp_path: Path) -> None:
    image = random_image(seed, layers=2, layer_size=5 * 1024**2, docker=True)
    reference = f"{front.address}/app:1"
    write_docker_archive(tmp_path / "image.tar", {reference: image})
    docker("load", "--input", tmp_path / "image.tar")
    docker("push", reference)
    docker.forget(reference)

    docker("pull", reference)

    assert docker.image_id(reference) == image.config.digest


def test_locations_lead_back_through_nginx(front: Front) -> None:
    begun = front.http.post("/v2/app/blobs/uploads/")

    assert begun.status_code == 202
    place = begun.headers["location"]
    assert place.startswith(("/v2/app/blobs/uploads/", f"https://{front.address}/v2/app/blobs/uploads/"))
    assert front.http.get(place).status_code == 204


def test_a_prefix_that_nginx_strips_comes_back_in_locations(tmp_path: Path) -> None:
    """The client's path is /registry/v2/…, the server sees /v2/… and learns of the rest by X-Forwarded-Prefix."""
    with live_server(tmp_path, environment=TRUST) as server:
        lines = f"""
            location /v2/ {{ proxy_pass {server.url}; }}
            location /registry/ {{ proxy_pass {server.url}/; proxy_set_header X-Forwarded-Prefix /registry; }}
        """
        with (
            nginx_proxy(tmp_path, lines) as (address, trust),
            httpx.Client(base_url=f"https://{address}", verify=trust, trust_env=False) as http,
        ):
            begun = http.post("/registry/v2/app/blobs/uploads/")

            assert begun.headers["location"].startswith("/registry/v2/app/blobs/uploads/")
            assert http.get(begun.headers["location"]).status_code == 204
