"""SIGKILL at any request that a server makes of its bucket, over and over; and the bucket itself killed."""

import itertools
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from storage_backends.s3_bucket import Bucket
from storage_backends.s3_options import S3Options
from tests.buckets.faults import Before
from tests.buckets.gateway import running_gateway
from tests.buckets.proxy import Proxy
from tests.buckets.replicas import bucket_settings
from tests.faults.audit import check_answers
from tests.faults.client import Client, Gone, Owed
from tests.live_server import live_server

_KILLS_A_BUCKET = 5
_MOST_REQUESTS = 60
_MOST_ACTIONS = 12


def _at(number: int, act: Callable[[], None]) -> Before:
    """Act before the n-th request of all."""
    passed = itertools.count(1)  # one step of it is atomic

    def call() -> None:
        if next(passed) == number:
            act()

    return Before(call)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_request_the_server_comes_back_with_all_that_it_acknowledged(
    *, seed: int, settings: Mapping[str, str], proxy: Proxy, options: S3Options, tmp_path: Path
) -> None:
    choice = random.Random(seed)
    client = Client(Owed(), choice)
    with live_server(tmp_path, environment=settings) as server:
        client.port = server.port
        for _ in range(_KILLS_A_BUCKET):
            proxy.break_("*", _at(choice.randint(1, _MOST_REQUESTS), server.kill), times=10**9)
            _act_until_killed(client)
            proxy.mend()
            if server.process is not None:
                server.kill()
            server.start()
            check_answers(client)
    _check_links(options)


@pytest.mark.timeout(120)
def test_a_bucket_that_dies_and_comes_back_has_what_was_acknowledged(tmp_path: Path) -> None:
    choice = random.Random(7)
    client = Client(Owed(), choice)
    (tmp_path / "gateway").mkdir()
    with running_gateway(tmp_path / "gateway") as gateway:
        proxy = Proxy(gateway.port)
        environment = bucket_settings(gateway, proxy.endpoint, gateway.create_bucket())
        with live_server(tmp_path, environment={**environment, "CARGOHOLD_STORAGE__S3__ATTEMPTS": "1"}) as server:
            client.port = server.port
            for _ in range(5):
                proxy.break_("*", _at(choice.randint(1, _MOST_REQUESTS), gateway.kill), times=10**9)
                _act_until_refused(client)
                proxy.mend()
                gateway.kill()
                gateway.start()
                check_answers(client)
        proxy.close()


def _act_until_killed(client: Client) -> None:
    try:
        for _ in range(_MOST_ACTIONS):
            client.act()
    except Gone:
        return


def _act_until_refused(client: Client) -> None:
    for _ in range(_MOST_ACTIONS):
        if client.act().status >= 500:
            return


def _check_links(options: S3Options) -> None:
    """What lies in distribution's layout is whole: links with a digest each, and nothing else but blobs."""
    bucket = Bucket(options)
    found = [entry["Key"][len(options.prefix) :] for entry in bucket.list("docker/").get("Contents", [])]
    assert found
    for key in found:
        assert key.endswith(("/link", "/data")), f"{key} does not belong there"
        if key.endswith("/link"):
            link = bucket.get(key)[1].decode()
            assert link.startswith("sha256:"), f"{key} is broken"
            assert len(link) == 71, f"{key} is broken"
