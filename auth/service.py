"""The token service without HTTP: an identity and what it asks for become a token with what it may have.

Asking for too much is no error: the token holds what is both asked for and allowed.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from auth.access import Action, ResourceScope, is_repository_name
from auth.authenticator import Authenticator
from auth.bearer import Access, BearerMint
from auth.errors import RequestInvalid, Unauthenticated
from auth.identity import Identity, Kind
from auth.policy_source import PolicySource
from auth.refresh_tokens import Login, RefreshTokens
from auth.secrets import Secret

_MOST_GROUPS = 64
"""With more, a token names those that rules are about: it goes through proxies with each request, in one field."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What is asked for; `offline` asks for a refresh token as well."""

    service: str
    scopes: Sequence[ResourceScope]
    client_id: str = ""
    offline: bool = False


@dataclass(frozen=True, slots=True)
class GrantedToken:
    """A bearer token; `lifetime` and `issued` (since the epoch) in seconds; an empty `refresh_token` is none."""

    token: str
    lifetime: int
    issued: int
    access: Sequence[Access]
    refresh_token: str = ""


class TokenService:
    """Grants tokens. `also` says what else may be meant by a repository's name: to pull it goes with that name."""

    def __init__(
        self,
        authenticator: Authenticator,
        mint: BearerMint,
        refresh_tokens: RefreshTokens,
        policy: PolicySource,
        clock: Callable[[], float] = time.time,
        *,
        also: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._authenticator = authenticator
        self._mint = mint
        self._refresh_tokens = refresh_tokens
        self._policy = policy
        self._clock = clock
        self._also = also

    def service(self, asked: str) -> str:
        """The service that a request names, or the first one if it names none. Raises `RequestInvalid`."""
        services = self._mint.options.services
        if asked and asked not in services:
            raise RequestInvalid(f"tokens for the service {asked[:100]!r} are not issued here")
        return asked or services[0]

    async def login(self, name: str, password: str, address: str) -> Identity:
        """See `Authenticator.login`."""
        return await self._authenticator.login(name, password, address)

    async def resume(self, refresh_token: str, service: str) -> Login:
        """The login of a refresh token, its identity as it is now. Raises `Unauthenticated`, `IdentityUnavailable`."""
        login = await self._refresh_tokens.find(refresh_token, service)
        identity = None
        if login is not None:
            identity = await self._authenticator.confirm(login.identity, thoroughly=True)
        if login is None or identity is None:
            secret = Secret.parse(refresh_token)
            unknown = f"login {secret.id}" if secret is not None else ""
            claimed = unknown if login is None else str(login.identity)
            raise Unauthenticated("the refresh token is not valid any more; log in again", "invalid_token", claimed)
        await self._authenticator.note_use(identity)
        return Login(login.id, identity, login.service, login.client_id, login.created, login.expires)

    async def grant(self, identity: Identity, request: TokenRequest, login: str = "") -> GrantedToken:
        """A token for an identity; `login` is the id of the refresh token that it came with, if any."""
        asked = [one for scope in request.scopes for one in self._meant(scope)]
        access = [entry for scope in asked if (entry := self._allowed(identity, scope)).actions]
        refresh_token = ""
        if request.offline and not login and self._authenticator.can_last(identity):
            refresh_token, begun = await self._refresh_tokens.issue(identity, request.service, request.client_id)
            login = begun.id
        if len(identity.groups) > _MOST_GROUPS:
            identity = replace(identity, groups=identity.groups & self._policy.current().named_groups())
        token = await self._mint.issue(identity, request.service, access, login)
        lifetime = int(self._mint.options.lifetime)
        return GrantedToken(token, lifetime, int(self._clock()), access, refresh_token)

    def _meant(self, scope: ResourceScope) -> Iterator[ResourceScope]:
        yield scope
        other = self._also(scope.name) if scope.kind == "repository" and Action.PULL in scope.wanted else None
        if other is not None and other != scope.name:
            yield replace(scope, name=other, actions=(Action.PULL,))

    def _allowed(self, identity: Identity, scope: ResourceScope) -> Access:
        policy = self._policy.current()
        actions: tuple[str, ...] = ()
        if scope.kind == "repository" and is_repository_name(scope.name):
            allowed = policy.decide(identity, scope.name) & scope.wanted
            actions = tuple(action for action in Action if action in allowed)
        elif (scope.kind, scope.name) == ("registry", "catalog") and "*" in scope.actions:
            # the list itself shows to each what it may pull
            known = identity.kind is not Kind.ANONYMOUS or policy.admits_anonymous()
            actions = ("*",) if known else ()
        return Access(scope.kind, scope.resource_class, scope.name, actions)
