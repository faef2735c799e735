"""Fixtures of the wire tests: the registry under test, with one worker and with two, and servers of other settings.

Servers live as long as the session and are shared; every test has a repository of its own.
"""

import secrets
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live_server import LiveServer, live_server
from tests.wire.repository import Repository
from tests.wire.tree import Known, Storage
from tests.wire.wire import Wire

SharedServer = Callable[..., LiveServer]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test of the registry against one worker and against two, or against the peer."""
    if "under_test" in metafunc.fixturenames:
        peer = metafunc.config.getoption("--registry-url")
        metafunc.parametrize("under_test", [str(peer)] if peer else ["one-worker", "two-workers"])


@pytest.fixture(scope="session")
def shared_server() -> Iterator[SharedServer]:
    """Gives a running server with these settings (environment variables); the same one for the same settings."""
    running: dict[tuple[object, ...], LiveServer] = {}
    with ExitStack() as stack:

        def get(*arguments: str, **environment: str) -> LiveServer:
            key = (arguments, *sorted(environment.items()))
            if key not in running:
                directory = Path(tempfile.mkdtemp(prefix="cargohold-wire-"))
                stack.callback(shutil.rmtree, directory)
                running[key] = stack.enter_context(live_server(directory, arguments=arguments, environment=environment))
            return running[key]

        yield get


@pytest.fixture
def server(under_test: str, request: pytest.FixtureRequest) -> LiveServer:
    """Our server under test; a test that asks for it looks behind the wire and is left out for a peer."""
    shared: SharedServer = request.getfixturevalue("shared_server")
    return shared("--workers", "2") if under_test == "two-workers" else shared()


@pytest.fixture
def wire(under_test: str, request: pytest.FixtureRequest) -> Wire:
    """The registry under test."""
    if under_test.startswith("http"):
        return Wire(under_test)
    server: LiveServer = request.getfixturevalue("server")
    return Wire(server.url)


@pytest.fixture(scope="session")
def known() -> Known:
    """What was read of the storages of shared servers, which hold more and more."""
    return {}


@pytest.fixture
def storage(under_test: str, request: pytest.FixtureRequest, known: Known) -> Storage:
    """The storage of the registry under test; for a peer, one that shows nothing."""
    if under_test.startswith("http"):
        return Storage(None)
    server: LiveServer = request.getfixturevalue("server")
    return Storage(server.root, known)


@pytest.fixture(scope="session")
def session_salt() -> str:
    """Differs from session to session: a registry of `--registry-url` may have seen other sessions before."""
    return secrets.token_hex(8)


@pytest.fixture
def seed(request: pytest.FixtureRequest, session_salt: str) -> int:
    """A number that no other test has: content made from it is new to every registry."""
    return zlib.crc32((session_salt + request.node.nodeid).encode())


@pytest.fixture
def unique(seed: int) -> bytes:
    """A few bytes that no other test has."""
    return b"%08x" % seed


@pytest.fixture
def repository(wire: Wire, seed: int) -> Repository:
    """A repository that no other test uses, on the registry under test."""
    return Repository(wire, f"wire/test-{seed:08x}")


@pytest.fixture
def other(wire: Wire, seed: int) -> Repository:
    """Another one."""
    return Repository(wire, f"wire/other-{seed:08x}")


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server that this test alone uses, so that it may stop, kill and restart it."""
    with live_server(tmp_path) as server:
        yield server


@pytest.fixture
def configured(shared_server: SharedServer, seed: int) -> Callable[..., Repository]:
    """Gives a repository on a server with these settings: `registry__check_references="false"`."""

    def get(**settings: str) -> Repository:
        environment: Mapping[str, str] = {f"CARGOHOLD_{name.upper()}": value for name, value in settings.items()}
        return Repository(Wire(shared_server(**environment).url), f"wire/test-{seed:08x}")

    return get
