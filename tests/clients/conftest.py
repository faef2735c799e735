"""Fixtures of the client tests: the registry under test, a repository for each test, an engine for all."""

import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.docker_engine import DockerEngine, docker_engine
from tests.clients.registry_view import RegistryView
from tests.live_server import LiveServer, live_server


@pytest.fixture(scope="session")
def registry_address(registry_url: str) -> Iterator[str]:
    """HOST:PORT of the registry under test: ours on a free port, or the one that `--registry-url` names."""
    if registry_url:
        address = registry_url.removeprefix("http://").rstrip("/")
        answer = httpx.get(f"http://{address}/v2/", trust_env=False)
        assert answer.status_code == 200, f"no open registry at {registry_url}"
        yield address
        return
    directory = Path(tempfile.mkdtemp(prefix="cargohold-clients-"))
    try:
        # two workers: whatever one process alone would know shows up as a failure of the other
        with live_server(directory, arguments=["--workers", "2"]) as server:
            yield server.address
            assert server.stop() == 0, server.tail()
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def registry(registry_address: str) -> Iterator[RegistryView]:
    """The registry under test."""
    view = RegistryView(registry_address)
    yield view
    view.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server that this test alone uses, so that it may stop, kill and restart it."""
    with live_server(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def session_salt() -> str:
    """Differs from session to session, so that a registry of `--registry-url` may have seen other sessions before."""
    return secrets.token_hex(8)


@pytest.fixture
def seed(request: pytest.FixtureRequest, session_salt: str) -> int:
    """A number that no other test has: content made from it is new to every client and registry."""
    return zlib.crc32((session_salt + request.node.nodeid).encode())


@pytest.fixture
def repository(seed: int) -> str:
    """A repository that no other test uses."""
    return f"clients/test-{seed:08x}"


@pytest.fixture(scope="session")
def docker() -> Iterator[DockerEngine]:
    """A Docker engine that nothing else uses."""
    with docker_engine() as engine:
        yield engine
