"""What each thing that a client does costs in requests to the bucket: as many as `docs/scaling.md` says."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.buckets.gateway import Gateway
from tests.buckets.proxy import Proxy
from tests.buckets.replicas import COUNTED, bucket_settings
from tests.disks import mounted
from tests.images import Image, random_bytes, random_image
from tests.live_server import LiveServer, live_server
from tests.wire.repository import Repository, digest_of
from tests.wire.wire import Wire

_DOCS = Path(__file__).parents[2] / "docs" / "scaling.md"
_SMALL = random_bytes(3000, seed=1)
_LARGE = random_bytes(20 * 1024 * 1024, seed=2)


def _documented() -> dict[str, int]:
    rows = re.findall(r"^\| ([a-z][^|]+) \| (\d+) \|", _DOCS.read_text(), re.MULTILINE)
    return {name: int(count) for name, count in rows}


@pytest.fixture(params=["never", "always"])
def server(request: pytest.FixtureRequest, settings: Mapping[str, str], tmp_path: Path) -> Iterator[LiveServer]:
    """A server that redirects, or does not."""
    environment = {**settings, **COUNTED, "CARGOHOLD_STORAGE__S3__REDIRECT__MODE": str(request.param)}
    with live_server(tmp_path, environment=environment) as running:
        yield running


def _as_docker(repository: Repository, data: bytes) -> None:
    assert repository.call("HEAD", f"blobs/{digest_of(data)}").status == 404
    location = repository.append(repository.begin(), data).header("Location")
    assert repository.finish(location, digest_of(data)).status == 201


def _at_once(repository: Repository, data: bytes) -> None:
    assert repository.call("POST", f"blobs/uploads/?digest={digest_of(data)}", body=data).status == 201


def _in_two(repository: Repository, data: bytes) -> None:
    assert repository.finish(repository.begin(), digest_of(data), data).status == 201


def _put(repository: Repository, value: Image) -> None:
    headers = {"Content-Type": value.manifest.media_type}
    assert repository.call("PUT", "manifests/latest", body=value.manifest.data, headers=headers).status == 201


def _get(repository: Repository, path: str, status: int = 200) -> None:
    assert repository.call("GET", path).status == status


def _mount(repository: Repository, data: bytes) -> None:
    other = Repository(repository.wire, "another/one")
    path = f"blobs/uploads/?mount={digest_of(data)}&from={repository.name}"
    assert other.call("POST", path).status == 201


def test_each_request_of_a_client_costs_what_is_documented(server: LiveServer, proxy: Proxy) -> None:
    repository = Repository(Wire(server.url), "count/app")
    value = random_image(seed=7)
    steps: list[tuple[str, Callable[[], None]]] = [
        ("pushes a small blob as docker does (HEAD, POST, PATCH, PUT)", lambda: _as_docker(repository, _SMALL)),
        ("pushes a small blob in one request (POST with its digest)", lambda: _at_once(repository, _SMALL)),
        ("pushes a small blob in two (POST, PUT)", lambda: _in_two(repository, _SMALL)),
        ("pushes a 20 MiB blob as docker does", lambda: _as_docker(repository, _LARGE)),
        ("pushes a 20 MiB blob in one request", lambda: _at_once(repository, _LARGE)),
        ("asks for a blob that is there (HEAD)", lambda: _head(repository, digest_of(_SMALL))),
        ("mounts a blob from another repository", lambda: _mount(repository, _SMALL)),
        ("pushes a manifest with two layers and a tag", lambda: _put(repository, value)),
        ("pulls a manifest by tag", lambda: _get(repository, "manifests/latest")),
        ("pulls a manifest by digest", lambda: _get(repository, f"manifests/{value.manifest.digest}")),
    ]
    blob = f"blobs/{digest_of(_SMALL)}"
    if "always" in server.environment.values():
        steps.append(("is redirected for a blob", lambda: _get(repository, blob, 307)))
    else:
        steps.append(("pulls a blob through the replica", lambda: _get(repository, blob)))
    for content in (*value.layers, value.config):
        _at_once(repository, content.data)

    found = {}
    for name, step in steps:
        with proxy.counting() as requests:
            step()
        found[name] = len(requests)

    documented = _documented()
    assert found == {name: documented[name] for name in found}


def _head(repository: Repository, digest: str) -> None:
    assert repository.call("HEAD", f"blobs/{digest}").status == 200


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("what", "path", "count", "below"),
    [
        (
            "lists 100 of 10,000 tags",
            "/v2/many/tags/tags/list?n=100",
            10_000,
            "many/tags/_manifests/tags/{}/current/link",
        ),
        ("lists 100 of 100,000 repositories", "/v2/_catalog?n=100", 100_000, "{}/_manifests"),
    ],
    ids=["tags", "repositories"],
)
def test_a_page_of_a_long_list_costs_what_is_documented(
    *, gateway: Gateway, proxy: Proxy, tmp_path: Path, what: str, path: str, count: int, below: str
) -> None:
    bucket = gateway.create_bucket()
    root = gateway.directory_of(bucket) / "a" / "part" / "docker" / "registry" / "v2" / "repositories"
    names = sorted(f"name{number:06d}" for number in range(count))
    environment = bucket_settings(gateway, proxy.endpoint, bucket) | COUNTED
    # a disk would take minutes to make so many files, and to remove them again
    with mounted(root, "2g"), live_server(tmp_path, environment=environment) as server:
        for name in names:
            file = root / below.format(name)
            file.parent.mkdir(parents=True)
            file.write_bytes(b"link")
        for after, expected in (("", names[:100]), (names[54_321 % count], None)):
            with proxy.counting() as requests:
                reply = Wire(server.url).call("GET", f"{path}&last={after}" if after else path)
            start = names.index(after) + 1 if after else 0
            found = json.loads(reply.body)
            assert found.get("tags", found.get("repositories")) == (expected or names[start : start + 100])
            assert len(requests) <= _documented()[what] + (1 if after else 0), requests
