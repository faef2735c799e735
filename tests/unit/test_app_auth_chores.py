"""What a server with logins does by itself for them."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message

from auth.refresh_tokens import RefreshTokens
from config.settings import Settings
from registry import app_auth
from registry.app import build_app, build_token_app


@pytest.mark.parametrize("build", [build_app, build_token_app])
async def test_whoever_gives_logins_sweeps_up_those_that_are_over(
    build: Callable[[Settings], ASGIApp], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = asyncio.Event()

    async def sweep(_: RefreshTokens) -> int:
        swept.set()
        return 1

    monkeypatch.setattr(RefreshTokens, "sweep", sweep)
    monkeypatch.setattr(app_auth, "_SWEEP_SECONDS", 0.01)
    app = build(Settings.model_validate({"storage": {"root": str(tmp_path)}, "auth": {"enabled": True}}))
    asked, answers = asyncio.Queue[Message](), asyncio.Queue[Message]()
    await asked.put({"type": "lifespan.startup"})

    running = asyncio.ensure_future(app({"type": "lifespan"}, asked.get, answers.put))
    await asyncio.wait_for(swept.wait(), 10)
    await asked.put({"type": "lifespan.shutdown"})
    await running
