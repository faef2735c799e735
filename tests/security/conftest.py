"""Fixtures of the security tests: one registry for all of them, and content that must outlive what they do to it."""

import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live_server import LiveServer, live_server
from tests.wire.bystander import bystander
from tests.wire.repository import Repository
from tests.wire.tree import Storage
from tests.wire.wire import Wire


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer | None]:
    """Our server; None if the tests run against a peer."""
    if request.config.getoption("--registry-url"):
        yield None
        return
    directory = Path(tempfile.mkdtemp(prefix="cargohold-security-"))
    try:
        with live_server(directory) as server:
            yield server
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def wire(request: pytest.FixtureRequest, server: LiveServer | None) -> Wire:
    """The registry under test."""
    return Wire(str(request.config.getoption("--registry-url")) if server is None else server.url)


@pytest.fixture(scope="session")
def storage(server: LiveServer | None) -> Storage:
    """Its storage; for a peer, one that shows nothing."""
    return Storage(None if server is None else server.root)


@pytest.fixture(scope="session", autouse=True)
def earlier_content_reads_back(wire: Wire) -> Iterator[None]:
    """An image that is pushed before all tests and read after them."""
    with bystander(wire, secrets.randbits(32)):
        yield


@pytest.fixture
def repository(wire: Wire, request: pytest.FixtureRequest) -> Repository:
    """A repository that no other test uses."""
    return Repository(wire, f"security/test-{zlib.crc32(request.node.nodeid.encode()):08x}")
