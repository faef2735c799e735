"""How the tests of identity tokens trust an issuer, and ask what becomes of a token."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from auth.access import Grant
from auth.errors import Unauthenticated
from auth.identity import Identity
from auth.issuers import IdentityRule, IssuerOptions, Issuers
from tests.oidc_issuer import AUDIENCE, JWKS, OidcIssuer

PROJECT = IdentityRule({"project_path": ("**",)}, "ci/{project_path}", ("{project_path}/**:pull,push",))
Claims = dict[str, Any]


def options(issuer: OidcIssuer, /, *rules: IdentityRule, **changes: object) -> IssuerOptions:
    """How the registry trusts a test's issuer; options of `IssuerOptions` as keywords."""
    values: dict[str, Any] = {
        "name": "ci",
        "issuer": issuer.url,
        "audiences": (AUDIENCE,),
        "rules": rules or (PROJECT,),
        "jwks_url": issuer.url + JWKS,
        **changes,
    }
    return IssuerOptions(**values)


@asynccontextmanager
async def trusting(*trusted: IssuerOptions, clock: Callable[[], float] = time.time) -> AsyncIterator[Issuers]:
    """Issuers whose word counts."""
    issuers = Issuers(trusted, clock)
    try:
        yield issuers
    finally:
        issuers.close()


async def identity(token: str, *trusted: IssuerOptions, clock: Callable[[], float] = time.time) -> Identity:
    """What a token that is known makes."""
    async with trusting(*trusted, clock=clock) as issuers:
        assert issuers.knows(token)
        return await issuers.identify(token)


async def is_refused(token: str, *trusted: IssuerOptions, clock: Callable[[], float] = time.time) -> bool:
    """True if the token is refused in the same words as every other."""
    async with trusting(*trusted, clock=clock) as issuers:
        try:
            await issuers.identify(token)
        except Unauthenticated as error:
            assert error.message == "the identity token is not accepted here"
            return True
        return False


def scope(*texts: str) -> tuple[Grant, ...]:
    """Grants as they are written."""
    return tuple(Grant.parse(text) for text in texts)
