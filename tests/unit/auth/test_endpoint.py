"""What the token service answers over HTTP when it cannot do what it is asked."""

import httpx
import pytest
from starlette.applications import Starlette

from auth.accounts import Accounts
from auth.authenticator import Authenticator, Sources
from auth.bearer import BearerMint, BearerOptions
from auth.endpoint import JWKS_PATH, TOKEN_PATH, TokenEndpoint
from auth.keys import SigningKeys
from auth.passwords import Passwords
from auth.policy import DEFAULT_RULES, Policy
from auth.policy_source import PolicySource
from auth.refresh_tokens import RefreshTokens
from auth.service import TokenService
from auth.throttle import Throttle
from auth.token_uses import TokenUses
from auth.users import LocalUsers
from storage_backends.base import StoredObject
from storage_backends.errors import Unavailable
from storage_backends.memory import MemoryBackend

pytestmark = pytest.mark.anyio


class Gone(MemoryBackend):
    """A storage that does not answer."""

    async def get(self, key: str) -> StoredObject:
        raise Unavailable(f"{key} cannot be read")


def _endpoint() -> Starlette:
    backend = Gone()
    accounts, keys = Accounts(backend, "auth/"), SigningKeys(backend, "auth/")
    authenticator = Authenticator(
        Sources(LocalUsers({}, None, accounts), accounts), Passwords(), Throttle(), TokenUses(backend, "auth/")
    )
    mint = BearerMint(BearerOptions("cargohold", ("here",), 300, 30), keys)
    policy = PolicySource(Policy(DEFAULT_RULES))
    service = TokenService(authenticator, mint, RefreshTokens(backend, "auth/", 1000), policy)
    return Starlette(routes=TokenEndpoint(service, keys, lambda _: "192.0.2.1", lambda _: None).routes())


@pytest.mark.parametrize("path", [TOKEN_PATH, JWKS_PATH])
async def test_a_storage_that_is_gone_is_an_outage_and_no_failure_of_ours(path: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(_endpoint()), base_url="http://registry") as client:
        answer = await client.get(path)

    assert answer.status_code == 503
    assert [error["code"] for error in answer.json()["errors"]] == ["UNAVAILABLE"]
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["cache-control"] == "no-store"
    assert "auth/keys" not in answer.text
