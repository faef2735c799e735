"""Names that nobody has: what is done with them is what is done with all others."""

import base64
from pathlib import Path

import bcrypt
import pytest

from auth.errors import Unauthenticated
from auth.guard import Guard
from auth.policy import Policy
from auth.policy_source import PolicySource
from config.auth import AuthSettings
from config.settings import Settings
from registry.app_auth import build_auth
from storage_backends.memory import MemoryBackend

pytestmark = pytest.mark.anyio
NAMES = [f"nobody{number}" for number in range(30)]


async def test_an_unknown_name_costs_the_same_in_every_process_over_a_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    htpasswd = tmp_path / "htpasswd"
    hashes = [bcrypt.hashpw(b"secret", bcrypt.gensalt(cost)).decode() for cost in (4, 5)]
    htpasswd.write_text("".join(f"user{number}:{stored}\n" for number, stored in enumerate(hashes)))
    settings = Settings(auth=AuthSettings(enabled=True, htpasswd=htpasswd))
    worked: list[int] = []
    check = bcrypt.checkpw

    def counted(data: bytes, hashed: bytes) -> bool:
        worked.append(int(hashed[4:6]))
        return check(data, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    here, there = MemoryBackend(), MemoryBackend()
    for backend in (here, here, there):
        parts = build_auth(settings, backend, PolicySource(Policy(())), lambda _: "", lambda _: None)
        for number, name in enumerate(NAMES):
            await _refused(parts.guard, name, f"192.0.2.{number}")
    first, second, elsewhere = worked[:30], worked[30:60], worked[60:]

    assert first == second
    assert set(first) == {4, 5}
    assert first != elsewhere


async def _refused(guard: Guard, name: str, address: str) -> None:
    with pytest.raises(Unauthenticated):
        await guard.identify(f"Basic {base64.b64encode(f'{name}:secret'.encode()).decode()}", address)
