"""Bundles that are loaded into a running registry, and what it has carried back."""

import asyncio
from pathlib import Path

import pytest

from registry.content.digest import Digest
from registry.content.local_place import LocalPlace
from registry.content.names import RepositoryName
from registry.content.repository import Registry, Rules
from registry.mirror.credentials import Credentials, Given
from registry.mirror.endpoints import Endpoint
from registry.mirror.upstream import Upstream
from registry.mirror.upstream_options import UpstreamOptions
from storage_backends.filesystem import FilesystemBackend
from tests.clients.registry_view import RegistryView
from tests.guarded import PASSWORDS, Guarded
from tests.images import image, random_layer
from tests.mirror.places import blocks, push
from tests.unit.cli.conftest import Cargohold

_BASE = random_layer(100_000, 201)
_FIRST, _SECOND = image([_BASE]), image([_BASE, random_layer(1000, 202)])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The storage on the open side: two images, one of which is made from the other."""

    async def fill() -> None:
        (tmp_path / "open").mkdir()
        place = LocalPlace(Registry(FilesystemBackend(tmp_path / "open"), Rules()))
        await push(place, RepositoryName("bundled/base"), _FIRST, "1")
        await push(place, RepositoryName("bundled/app"), _SECOND, "1")

    asyncio.run(fill())
    return tmp_path / "open"


def _where(server: Guarded | RegistryView, directory: Path) -> list[str]:
    """What says to a command that the server is meant."""
    login = f"username: alice, password: '{PASSWORDS['alice']}'"
    (directory / "c.yml").write_text(f"upstreams: [{{name: closed, url: '{server.address}', {login}}}]\n")
    return ["--url", server.address, "--prefix", "team/", "--config", "c.yml"]


@pytest.mark.parametrize("closed", ["old", "behind_logins"])
def test_a_layer_that_another_repository_of_a_running_registry_has_need_not_be_carried_again(
    cargohold: Cargohold, request: pytest.FixtureRequest, root: Path, tmp_path: Path, closed: str
) -> None:
    server: Guarded | RegistryView = request.getfixturevalue(closed)
    where = _where(server, tmp_path)
    create = ["bundle", "create", "--root", root, "bundled/base:1"]
    cargohold(*create, "-o", "first.tar")
    first = cargohold("bundle", "load", "first.tar", *where)
    cargohold("bundle", "inventory", "-o", "inventory.json", *where)
    made = cargohold(*create, "bundled/app:1", "-o", "second.tar", "--since", "inventory.json")

    planned = cargohold("bundle", "load", "second.tar", "--dry-run", *where)
    second = cargohold("bundle", "load", "second.tar", *where)

    assert (first.code, made.code, planned.code) == (0, 0, 0), first.err + made.err + planned.out
    assert (tmp_path / "second.tar").stat().st_size < len(_BASE.data) / 2
    assert (second.code, second.out.partition(",")[0]) == (0, "loaded 1 of 1 images"), second.out + second.err


@pytest.mark.parametrize("closed", ["old", "behind_logins"])
def test_a_repository_that_has_blobs_and_no_tags_stops_no_inventory(
    cargohold: Cargohold, request: pytest.FixtureRequest, tmp_path: Path, closed: str
) -> None:
    server: Guarded | RegistryView = request.getfixturevalue(closed)
    where = _where(server, tmp_path)

    async def push_blob() -> None:
        login = Given(Credentials("alice", PASSWORDS["alice"]))
        async with Upstream(UpstreamOptions(Endpoint.parse(server.address), login)) as upstream:
            data = _BASE.data
            await upstream.put_blob(RepositoryName("team/blobs"), Digest.of(data), len(data), blocks(data))

    asyncio.run(push_blob())

    taken = cargohold("bundle", "inventory", "-o", "inventory.json", *where)

    assert taken.code == 0, taken.err
