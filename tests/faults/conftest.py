"""Fixtures of tests in which something fails."""

import os

import pytest

from storage_backends import durable


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process loses nothing that was written, synced or not; the steps of syncing are there all the same, as
    few as on most disks.
    """
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(durable, "metadata_is_ordered", lambda _: True)
