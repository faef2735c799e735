"""The dictionary keeps the contract."""

import pytest

from storage_backends.base import StorageBackend
from storage_backends.memory import MemoryBackend
from tests.contract.storage_contract import Reopen, StorageContract


class TestMemory(StorageContract):
    @pytest.fixture
    def backend(self) -> StorageBackend:
        return MemoryBackend()

    @pytest.fixture
    def reopen(self, backend: StorageBackend) -> Reopen:
        return lambda: backend
