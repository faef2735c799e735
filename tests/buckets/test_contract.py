"""A bucket keeps the storage contract."""

import dataclasses

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


@pytest.mark.anyio
class TestOneWriter:
    """The same of races, where this process keeps the conditions that the bucket does not."""

    @pytest.fixture
    def backend(self, options: S3Options) -> StorageBackend:
        return S3Backend(dataclasses.replace(options, single_writer=True))

    @pytest.fixture
    def reopen(self, backend: StorageBackend) -> Reopen:
        return lambda: backend

    test_writers = StorageContract.test_of_many_conditional_writers_exactly_one_wins
    test_a_later_put = StorageContract.test_a_conditional_delete_never_takes_a_later_put
