"""Clients that are sent to the bucket for a blob get it there, and only they, and only for a while."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from storage_backends.s3 import S3Backend
from storage_backends.s3_options import S3Options
from tests.buckets.proxy import Proxy
from tests.clients.commands import run
from tests.images import random_bytes, random_image
from tests.live_server import LiveServer, live_server
from tests.programs import need
from tests.wire.repository import Repository, digest_of
from tests.wire.wire import Wire

_BLOB = random_bytes(300_000, seed=9)
Start = Callable[..., AbstractContextManager[LiveServer]]


@pytest.fixture
def start(settings: Mapping[str, str], tmp_path: Path) -> Start:
    """Starts a server with these settings of redirects."""

    def running(**values: str) -> AbstractContextManager[LiveServer]:
        named = {f"CARGOHOLD_STORAGE__S3__REDIRECT__{name.upper()}": value for name, value in values.items()}
        return live_server(tmp_path, environment={**settings, **named})

    return running


@pytest.fixture
def always(start: Start) -> Iterator[LiveServer]:
    with start(mode="always") as server:
        yield server


def _pull(server: LiveServer, headers: Mapping[str, str] | None = None, method: str = "GET") -> httpx.Response:
    url = f"{server.url}/v2/team/app/blobs/{digest_of(_BLOB)}"
    return httpx.request(method, url, headers=headers, trust_env=False)


def _push(server: LiveServer) -> None:
    Repository(Wire(server.url), "team/app").push_blob(_BLOB)


def test_a_blob_is_fetched_from_the_bucket_with_its_headers_and_ranges(always: LiveServer, proxy: Proxy) -> None:
    _push(always)
    answer = _pull(always)
    assert (answer.status_code, answer.content) == (307, b"")
    assert answer.headers["docker-content-digest"] == digest_of(_BLOB)
    assert answer.headers["cache-control"] == "no-store"
    address = answer.headers["location"]
    assert address.startswith(proxy.endpoint)

    whole = httpx.get(address, trust_env=False)
    assert (whole.status_code, whole.content) == (200, _BLOB)
    assert whole.headers["content-type"] == "application/octet-stream"
    assert "immutable" in whole.headers["cache-control"]
    part = httpx.get(address, headers={"Range": "bytes=1000-"}, trust_env=False)
    assert (part.status_code, part.content) == (206, _BLOB[1000:])
    assert httpx.delete(address, trust_env=False).status_code == 403
    assert httpx.get(address.replace("X-Amz-Signature=", "X-Amz-Signature=0"), trust_env=False).status_code == 403
    assert httpx.get(address.split("?")[0], trust_env=False).status_code == 403


def test_only_what_is_there_is_redirected_and_only_when_it_is_pulled(always: LiveServer) -> None:
    assert _pull(always).status_code == 404
    _push(always)
    assert _pull(always, method="HEAD").status_code == 200
    etag = f'"{digest_of(_BLOB)}"'
    assert _pull(always, {"If-None-Match": etag}).status_code == 304
    assert _pull(always, {"Range": "bytes=0-9"}).status_code == 307
    other = f"{always.url}/v2/another/one/blobs/{digest_of(_BLOB)}"
    assert httpx.get(other, trust_env=False).status_code == 404


@pytest.mark.parametrize(
    ("settings_of", "status"),
    [
        ({}, 200),
        ({"mode": "always", "min_bytes": str(len(_BLOB))}, 307),
        ({"mode": "always", "min_bytes": str(len(_BLOB) + 1)}, 200),
        ({"mode": "always", "networks": "127.0.0.0/8"}, 307),
        ({"mode": "always", "networks": "10.0.0.0/8,fd00::/8"}, 200),
    ],
)
def test_size_and_network_decide(start: Start, settings_of: Mapping[str, str], status: int) -> None:
    with start(**settings_of) as server:
        _push(server)
        answer = _pull(server)
        assert answer.status_code == status
        assert status == 307 or answer.content == _BLOB


def test_clients_are_sent_to_the_public_endpoint_and_the_signature_is_for_it(start: Start) -> None:
    with start(mode="always", endpoint="https://cdn.example.com") as server:
        _push(server)
        address = httpx.URL(_pull(server).headers["location"])
    assert (address.scheme, address.host) == ("https", "cdn.example.com")
    assert "host" in address.params["X-Amz-SignedHeaders"]
    assert address.params["X-Amz-Expires"] == "1200"


@pytest.mark.anyio
async def test_an_address_is_good_for_a_while(options: S3Options) -> None:
    backend = S3Backend(dataclasses.replace(options, link_lifetime=77))
    assert "X-Amz-Expires=77" in await backend.presign("k", "text/plain")


def test_real_clients_follow(always: LiveServer, tmp_path: Path) -> None:
    image = random_image(seed=3, layer_size=1_000_000)
    Repository(Wire(always.url), "team/app").push("latest", image)
    name = f"{always.address}/team/app:latest"

    run(need("crane"), "validate", "--insecure", "--remote", name)
    run(need("skopeo"), "copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path}/skopeo")
    run(need("regctl"), "registry", "set", "--tls", "disabled", always.address)
    run(need("regctl"), "image", "export", name, f"{tmp_path}/regctl.tar")
    run(need("oras"), "copy", "--from-plain-http", name, "--to-oci-layout", f"{tmp_path}/oras:latest")
    for layer in image.layers:
        path = f"blobs/sha256/{layer.digest.partition(':')[2]}"
        assert (tmp_path / "skopeo" / path).read_bytes() == layer.data
        assert (tmp_path / "oras" / path).read_bytes() == layer.data
