"""A bucket keeps the storage contract."""

import pytest

from storage_backends.base import StorageBackend
from storage_backends.s3 import S3Backend
from storage_backends.s3_options import S3Options
from tests.contract.storage_contract import Reopen, StorageContract


class TestS3(StorageContract):
    @pytest.fixture
    def backend(self, options: S3Options) -> StorageBackend:
        return S3Backend(options)

    @pytest.fixture
    def reopen(self, options: S3Options) -> Reopen:
        return lambda: S3Backend(options)
