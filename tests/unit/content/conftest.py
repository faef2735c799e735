"""Fixtures of the domain's tests: storage in memory, and a registry over it."""

import pytest

from registry.content.names import RepositoryName
from registry.content.repository import Registry, Rules
from storage_backends.memory import MemoryBackend


@pytest.fixture
def backend() -> MemoryBackend:
    """A storage that holds nothing."""
    return MemoryBackend()


@pytest.fixture
def registry(backend: MemoryBackend) -> Registry:
    """A registry with the default rules over `backend`."""
    return Registry(backend, Rules())


@pytest.fixture
def name() -> RepositoryName:
    """A repository."""
    return RepositoryName.parse("team/app")
