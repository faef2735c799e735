"""Three replicas over one bucket, requests sprayed over all of them: one is as good as another, and one may die."""

import base64
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from registry.content.keyspace import COLLECTOR, UPLOADS
from tests.buckets.faults import Before
from tests.buckets.gateway import Gateway
from tests.buckets.proxy import Proxy
from tests.buckets.replicas import COUNTED, Replicas, bucket_settings, three_replicas
from tests.images import Image, all_contents, random_bytes, random_image
from tests.live_server import cargohold_command
from tests.wire.repository import Repository, digest_of
from tests.wire.wire import Wire

_PUSHES = 20


@pytest.fixture
def replicas(tmp_path: Path, gateway: Gateway, proxy: Proxy, bucket: str) -> Iterator[Replicas]:
    """Three replicas over an empty bucket."""
    with three_replicas(tmp_path, bucket_settings(gateway, proxy.endpoint, bucket) | COUNTED) as running:
        yield running


def _push(url: str, number: int) -> tuple[Image, bool]:
    """An image pushed as docker does it: POST, PATCH, PUT of each blob; true if every step was acknowledged."""
    value = random_image(seed=number)
    base = f"{url}/v2/team/app-{number}"
    with httpx.Client(trust_env=False, timeout=30) as client:
        try:
            for content in (*value.layers, value.config):
                location = _location(client.post(f"{base}/blobs/uploads/"), 202)
                location = _location(client.patch(f"{url}{location}", content=content.data), 202)
                _location(client.put(f"{url}{location}?digest={content.digest}"), 201)
            headers = {"Content-Type": value.manifest.media_type}
            _location(client.put(f"{base}/manifests/latest", content=value.manifest.data, headers=headers), 201)
        except (httpx.TransportError, _Refused):
            return value, False
    return value, True


class _Refused(Exception):
    """A step of a push was not acknowledged."""


def _location(reply: httpx.Response, status: int) -> str:
    if reply.status_code != status:
        raise _Refused
    return str(reply.headers["location"])


def _is_whole(url: str, number: int, value: Image) -> bool:
    repository = Repository(Wire(url), f"team/app-{number}")
    if repository.call("GET", "manifests/latest").body != value.manifest.data:
        return False
    return all(
        repository.call("GET", f"blobs/{content.digest}").body == content.data
        for content in all_contents(value)
        if content is not value.manifest
    )


@pytest.mark.timeout(120)
def test_a_replica_that_is_killed_in_the_middle_of_pushes_loses_nothing_that_was_acknowledged(
    replicas: Replicas, proxy: Proxy
) -> None:
    dying, killed = replicas.servers[1], threading.Event()

    def kill() -> None:
        dying.kill()
        killed.set()

    proxy.break_("PutObject", Before(kill), part="uploads/", times=1)
    with ThreadPoolExecutor(_PUSHES) as pool:
        outcomes = list(pool.map(lambda number: _push(replicas.url, number), range(_PUSHES)))

    assert killed.is_set()
    for number, (value, acknowledged) in enumerate(outcomes):
        if not acknowledged:
            assert _retried(replicas.url, number), f"push {number} cannot be repeated"
        for server in (replicas.servers[0], replicas.servers[2]):
            assert _is_whole(server.url, number, value), f"push {number} is not whole"


def _retried(url: str, number: int) -> bool:
    """A dead replica still gets a third of the requests: a client tries again."""
    return any(_push(url, number)[1] for _ in range(10))


@pytest.mark.timeout(60)
def test_a_chunked_upload_goes_on_at_another_replica_when_its_first_one_is_dead(replicas: Replicas) -> None:
    data = random_bytes(20 * 1024 * 1024 + 12345, seed=5)
    bounds = [0, 100, 9_000_000, 9_000_001, 20_000_000, len(data)]
    first, second, third = (Repository(Wire(server.url), "team/chunks") for server in replicas.servers)
    location = first.begin()
    for repository, (start, end) in zip((first, second, third), pairwise(bounds), strict=False):
        reply = repository.append(location, data[start:end], f"{start}-{end - 1}")
        assert reply.status == 202
        location = reply.header("Location")
    replicas.servers[2].kill()

    assert second.offset(location) == bounds[3]
    location = second.append(location, data[bounds[3] : bounds[4]]).header("Location")
    assert first.finish(location, digest_of(data), data[bounds[4] :]).status == 201
    assert second.call("GET", f"blobs/{digest_of(data)}").body == data


@pytest.mark.timeout(60)
def test_the_bytes_of_a_push_do_not_come_back_to_be_hashed(replicas: Replicas, proxy: Proxy) -> None:
    data = random_bytes(20 * 1024 * 1024, seed=6)
    repositories = [Repository(Wire(server.url), "team/streams") for server in replicas.servers]
    location = repositories[0].begin()
    location = repositories[1].append(location, data).header("Location")
    with proxy.counting() as requests:
        assert repositories[2].finish(location, digest_of(data)).status == 201

    read = [request.key for request in requests if request.operation == "GetObject"]
    session = location.rpartition("/")[2].partition("?")[0]
    # the state of the upload, and whether garbage is collected: a few hundred bytes each
    assert [re.sub(r"\.[0-9a-f]{32}$", "", key) for key in read] == [
        f"a/part/{UPLOADS}{session}",
        f"a/part/{COLLECTOR}",
    ]
    assert [request.operation for request in requests].count("CopyObject") == 1


@pytest.mark.timeout(60)
def test_of_two_chunks_at_the_same_moment_one_is_kept(replicas: Replicas, proxy: Proxy) -> None:
    repositories = [Repository(Wire(server.url), "team/race") for server in replicas.servers]
    location = repositories[0].begin()
    both = threading.Barrier(2)

    def meet() -> None:
        both.wait(10)

    proxy.break_("PutObject", Before(meet), part="uploads/", times=2)
    with ThreadPoolExecutor(2) as pool:
        replies = list(pool.map(lambda n: repositories[n].append(location, bytes([n]) * 1000), range(2)))

    assert sorted(reply.status for reply in replies) == [202, 409]
    winner = next(n for n, reply in enumerate(replies) if reply.status == 202)
    kept = bytes([winner]) * 1000
    assert repositories[2].finish(location, digest_of(kept)).status == 201


@pytest.mark.timeout(120)
def test_who_is_shut_out_is_out_on_all_replicas_within_seconds(
    tmp_path: Path, gateway: Gateway, proxy: Proxy, bucket: str
) -> None:
    settings = bucket_settings(gateway, proxy.endpoint, bucket) | {"CARGOHOLD_AUTH__ENABLED": "true"}

    def cargohold(*arguments: str) -> str:
        command = [*cargohold_command(), *arguments]
        return subprocess.run(
            command, env={**os.environ, **settings}, check=True, capture_output=True, text=True
        ).stdout

    robot = cargohold("token", "create", "--name", "ci", "--scope", "team/*:pull,push", "--expires", "1h").strip()
    basic = {"Authorization": f"Basic {base64.b64encode(f'ci:{robot}'.encode()).decode()}"}
    with three_replicas(tmp_path, settings) as replicas:
        wires = [Wire(server.url) for server in replicas.servers]
        reply = wires[0].call("GET", "/auth/token?scope=repository:team/app:push", headers=basic)
        bearer = {"Authorization": f"Bearer {reply.json['token']}"}
        for headers in (basic, bearer):
            assert [wire.call("GET", "/v2/", headers=headers).status for wire in wires] == [200, 200, 200]

        cargohold("token", "revoke", "ci")
        deadline = time.monotonic() + 10
        while any(
            wire.call("GET", "/v2/", headers=headers).status == 200 for wire in wires for headers in (basic, bearer)
        ):
            assert time.monotonic() < deadline
