"""Fixtures of storage in a bucket: one S3 server a session, behind a proxy; a bucket of its own for each test."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from storage_backends.s3_options import Credentials, S3Options
from tests.buckets.gateway import Gateway, running_gateway
from tests.buckets.proxy import Proxy


@pytest.fixture(scope="session")
def gateway() -> Iterator[Gateway]:
    """An S3 server."""
    with tempfile.TemporaryDirectory(prefix="cargohold-s3-") as directory, running_gateway(Path(directory)) as running:
        yield running


@pytest.fixture(scope="session")
def session_proxy(gateway: Gateway) -> Iterator[Proxy]:
    """What everything reaches it through."""
    proxy = Proxy(gateway.port)
    yield proxy
    proxy.close()


@pytest.fixture
def proxy(session_proxy: Proxy) -> Iterator[Proxy]:
    """The proxy; every fault that a test asks for has to happen."""
    yield session_proxy
    left = session_proxy.left()
    session_proxy.mend()
    assert left == 0, f"{left} faults did not happen"


@pytest.fixture
def bucket(gateway: Gateway) -> str:
    """An empty bucket."""
    return gateway.create_bucket()


@pytest.fixture
def options(gateway: Gateway, proxy: Proxy, bucket: str) -> S3Options:
    """How to reach a part of the bucket, through the proxy."""
    return S3Options(
        bucket=bucket,
        prefix="a/part/",
        endpoint=proxy.endpoint,
        addressing="path",
        credentials=Credentials(gateway.access_key, gateway.secret_key),
        read_timeout=1,
        attempts=3,
    )


@pytest.fixture
def settings(gateway: Gateway, proxy: Proxy, bucket: str) -> Mapping[str, str]:
    """The same as settings of a server, in its environment."""
    prefix = "CARGOHOLD_STORAGE__S3__"
    return {
        f"{prefix}BUCKET": bucket,
        f"{prefix}PREFIX": "a/part",
        f"{prefix}ENDPOINT": proxy.endpoint,
        f"{prefix}ADDRESSING": "path",
        f"{prefix}ACCESS_KEY_ID": gateway.access_key,
        f"{prefix}SECRET_ACCESS_KEY": gateway.secret_key,
        f"{prefix}READ_TIMEOUT_SECONDS": "5",
        f"{prefix}ATTEMPTS": "3",
    }
