"""What a server with logins does by itself for them."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message

from auth.refresh_tokens import RefreshTokens
from config.settings import Settings
from registry import app_auth
from registry.app import build_app, build_token_app
from storage_backends.memory import MemoryBackend


@pytest.mark.parametrize("build", [build_app, build_token_app])
async def test_whoever_gives_logins_sweeps_up_those_that_are_over(
    build: Callable[[Settings], ASGIApp], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = asyncio.Event()

    async def sweep(_: RefreshTokens) -> int:
        swept.set()
        return 1

    monkeypatch.setattr(RefreshTokens, "sweep", sweep)
    monkeypatch.setattr(app_auth, "_HOUR", 0.01)
    monkeypatch.setattr(app_auth, "_DAY", 0.0)
    app = build(Settings.model_validate({"storage": {"root": str(tmp_path)}, "auth": {"enabled": True}}))
    asked, answers = asyncio.Queue[Message](), asyncio.Queue[Message]()
    await asked.put({"type": "lifespan.startup"})

    running = asyncio.ensure_future(app({"type": "lifespan"}, asked.get, answers.put))
    await asyncio.wait_for(swept.wait(), 10)
    await asked.put({"type": "lifespan.shutdown"})
    await running


async def test_one_process_in_a_day_reads_all_logins(monkeypatch: pytest.MonkeyPatch) -> None:
    swept = 0

    async def sweep(_: RefreshTokens) -> int:
        nonlocal swept
        swept += 1
        return 0

    monkeypatch.setattr(RefreshTokens, "sweep", sweep)
    now = time.time() - 86400.0
    backend = MemoryBackend(lambda: now)
    settings = Settings.model_validate({"auth": {"enabled": True}})
    logins = app_auth.build_refresh_tokens(settings, backend)
    chores = [app_auth._sweeping(settings, backend, logins) for _ in range(3)]

    await chores[0].work()  # begins the first day
    now += 86400.0
    for chore in chores * 2:
        await chore.work()

    assert swept == 1
