"""Fixtures of the mirror tests: registries elsewhere; of those that mirror, behind a proxy that counts and fails."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.clients.registry_view import RegistryView
from tests.counting_proxy import CountingProxy, counting_proxy
from tests.guarded import Guarded, guarded
from tests.live_server import LiveServer
from tests.mirror.mirror_server import mirror_server
from tests.unit.cli.conftest import cargohold
from tests.wire.old_registry import old_registry
from tests.wire.repository import Repository
from tests.wire.wire import Wire

__all__ = ["cargohold"]
MakeMirror = Callable[..., LiveServer]


@pytest.fixture(scope="session")
def behind_logins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A registry of ours that asks for logins."""
    with guarded(tmp_path_factory.mktemp("guarded")) as server:
        yield server


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryView]:
    """Debian's docker-registry, shared."""
    directory = tmp_path_factory.mktemp("old")
    with old_registry(directory / "data", directory / "scratch") as view:
        yield view


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Wire]:
    """A registry elsewhere that holds nothing."""
    with old_registry(tmp_path / "upstream", tmp_path / "upstream-scratch") as view:
        yield Wire(str(view.http.base_url))


@pytest.fixture
def there(upstream: Wire) -> Repository:
    """The repository over there."""
    return Repository(upstream, "team/app")


@pytest.fixture
def proxy(upstream: Wire) -> Iterator[CountingProxy]:
    """The way to the upstream."""
    with counting_proxy(upstream.port) as proxy:
        yield proxy


@pytest.fixture
def start_mirror(tmp_path: Path, proxy: CountingProxy) -> Iterator[MakeMirror]:
    """Starts a server that mirrors the upstream below `hub`; arguments and settings as `mirror_server` takes them."""
    with ExitStack() as stack:

        def start(**settings: Any) -> LiveServer:
            source = {"prefix": "hub", "upstream": proxy.address, **settings.pop("source", {})}
            return stack.enter_context(mirror_server(tmp_path / "mirror", [source], **settings))

        yield start


def hub(server: LiveServer, name: str = "hub/team/app") -> Repository:
    """What mirrors the upstream's repository."""
    return Repository(Wire(server.url), name)
