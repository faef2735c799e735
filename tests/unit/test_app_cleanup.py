"""The process of its own in which a server cleans up."""

from pathlib import Path

import pytest

from config.settings import Settings
from registry.app_cleanup import run_in_child
from registry.app_storage import build_backend
from registry.cleanup.due import last_done
from registry.cleanup.gc import WORK


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
