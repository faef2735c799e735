"""The process of its own in which a server cleans up."""

import asyncio
import sys
from pathlib import Path

import pytest

from config.settings import Settings
from config.storage import S3Settings, StorageSettings
from registry import app
from registry.app_cleanup import run_in_child
from registry.app_storage import build_backend
from registry.cleanup.due import last_done
from registry.cleanup.gc import WORK
from registry.cleanup.on_demand import OnDemand
from registry.content.leases import collector_state
from storage_backends.memory import MemoryBackend


async def test_nothing_is_imported_from_the_directory_in_which_a_server_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write there could run what they like as the server's user."""
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "__init__.py").write_text("raise SystemExit")
    settings = Settings.model_validate({"storage": {"root": str(tmp_path / "data")}})
    monkeypatch.chdir(tmp_path)

    await run_in_child("garbage collection", settings)

    assert await last_done(build_backend(settings), WORK) is not None


async def test_a_cleanup_that_is_killed_is_not_silent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dies = "import os, signal, sys; sys.stdin.buffer.read(); os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr("registry.app_cleanup._CHILD", (sys.executable, "-c", dies))

    await run_in_child("retention", Settings())

    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("ERROR", "retention has ended before it was done, with exit code -9; the next one goes on")
    ]


def test_where_one_process_alone_may_write_no_other_one_cleans_up() -> None:
    storage = StorageSettings(s3=S3Settings(bucket="images", single_writer=True))
    backend = MemoryBackend()

    works = app._background_work(Settings(storage=storage), backend, OnDemand(backend, 300))

    assert list(works) == []


async def test_a_server_that_stops_leaves_no_cleanup_that_others_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = (
        "import asyncio; from registry.app_cleanup import run_child; from registry.content.leases import Collector\n"
        "Collector.read_intents = lambda self: asyncio.sleep(60)\n"
        "run_child({})"
    )
    monkeypatch.setattr("registry.app_cleanup._CHILD", (sys.executable, "-c", waits))
    settings = Settings.model_validate({"storage": {"root": str(tmp_path)}})
    backend = build_backend(settings)
    server = asyncio.create_task(run_in_child("garbage collection", settings))
    while not (await collector_state(backend)).at_work:  # noqa: ASYNC110  # storage tells us nothing by itself
        await asyncio.sleep(0.02)

    server.cancel()
    with pytest.raises(asyncio.CancelledError):
        await server

    assert not (await collector_state(backend)).at_work
