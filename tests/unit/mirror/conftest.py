"""Fixtures of mirroring's tests: a registry of which everything below `hub/` mirrors a fake one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from registry.content.repository import Registry, Rules
from registry.mirror.blob_fetching import BlobFetching, FetchLimits
from registry.mirror.endpoints import Endpoint
from registry.mirror.mirrored_place import MirroredPlace
from registry.mirror.mirroring_registry import MirroringRegistry, Mirrors
from registry.mirror.pull_through import MirrorRules, PullThrough
from registry.mirror.routes import Route
from registry.mirror.upstream_state import UpstreamState
from storage_backends.base import StorageBackend
from storage_backends.filesystem import FilesystemBackend
from storage_backends.memory import MemoryBackend
from tests.unit.mirror.fake_upstream import FakeUpstream

MakeMirror = Callable[..., MirroringRegistry]


@pytest.fixture
async def upstream() -> FakeUpstream:
    """A registry elsewhere that holds nothing."""
    return FakeUpstream()


@pytest.fixture(params=["directory", "memory"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> StorageBackend:
    """A storage that holds nothing: one that lets others see a file that grows, and one that doesn't."""
    return FilesystemBackend(tmp_path) if request.param == "directory" else MemoryBackend()


@pytest.fixture
def make_mirror(upstream: FakeUpstream, backend: StorageBackend) -> MakeMirror:
    """Builds a process's view of the mirror; limits, rules, a route and another storage as keywords."""

    def make(
        limits: FetchLimits | None = None,
        rules: MirrorRules | None = None,
        route: Route | None = None,
        storage: StorageBackend | None = None,
    ) -> MirroringRegistry:
        local = Registry(storage or backend, Rules())
        state = UpstreamState("hub.example", 10.0)
        place = MirroredPlace(route or Route("hub", Endpoint("hub.example", "https://hub.example")), upstream, state)
        fetching = BlobFetching(local, storage or backend, limits or FetchLimits())
        through = PullThrough(local, fetching, rules or MirrorRules(companions=False))
        return MirroringRegistry(local, Mirrors([place]), through, fetching)

    return make


@pytest.fixture
def mirror(make_mirror: MakeMirror) -> MirroringRegistry:
    """The mirror with the default rules, but nothing fetched unasked."""
    return make_mirror()
