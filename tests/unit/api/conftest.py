"""Fixtures of the HTTP side's tests: the API over storage in memory."""

from collections.abc import Callable

import pytest

from registry.api.asgi import RegistryApi
from registry.api.locations import Locations
from registry.api.options import ApiOptions
from registry.content.repository import Registry, Rules
from registry.proxies import Proxies
from storage_backends.base import StorageBackend
from storage_backends.memory import MemoryBackend
from tests.unit.api.opened import open_api

MakeApi = Callable[..., RegistryApi]


@pytest.fixture
def backend() -> MemoryBackend:
    """A storage that holds nothing."""
    return MemoryBackend()


@pytest.fixture
def make_api(backend: MemoryBackend) -> MakeApi:
    """Builds the API over `backend`, or another storage; options of `ApiOptions` as keywords."""

    def make(storage: StorageBackend | None = None, rules: Rules | None = None, **options: object) -> RegistryApi:
        values: dict[str, object] = {
            "locations": Locations(relative=True, external_url="", proxies=Proxies()),
            "allow_delete": True,
            "max_uploads": 64,
            "default_page_size": 100,
            "max_page_size": 1000,
            **options,
        }
        return open_api(Registry(storage or backend, rules or Rules()), ApiOptions(**values))  # type: ignore[arg-type]

    return make


@pytest.fixture
def api(make_api: MakeApi) -> RegistryApi:
    """The API with the default options."""
    return make_api()
