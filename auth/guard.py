"""What the registry asks: who sends this request, and what may they do with a repository. No HTTP but one header.

A bearer token limits its holder to what it grants; the rules of now limit the token, so that a changed rule, a removed
user and a revoked token count at once and not when the token ends.
"""

import base64
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from auth.access import NONE, Action, Actions
from auth.accounts import Accounts
from auth.authenticator import Authenticator
from auth.bearer import LONGEST_REMEMBERED, Bearer, BearerVerifier
from auth.errors import AuthError, Unauthenticated
from auth.identity import ANONYMOUS, Identity, Kind
from auth.policy import Policy
from auth.policy_source import PolicySource
from auth.secrets import without_secrets

_RECALLED_SECONDS = 1.0
_CALLERS_REMEMBERED = 1024
_REPOSITORIES_REMEMBERED = 256
_LONGEST_CLAIMED = 255
_NOT_VALID = "the token is not valid any more; log in again"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request. `bearer` is the token that limits them, if they came with one."""

    identity: Identity
    policy: Policy
    bearer: Bearer | None = None
    _found: dict[str, Actions] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_anonymous(self) -> bool:
        """True if nobody has logged in."""
        return self.identity.kind is Kind.ANONYMOUS

    def allowed(self, name: str) -> Actions:
        """What the rules allow them on a repository."""
        return self.policy.decide(self.identity, name)

    def may(self, action: Action, name: str) -> bool:
        """True if the rules and their token allow it; one of nobody limits nobody, who could come without it."""
        found = self._found.get(name)
        if found is None:
            found = self.policy.decide(self.identity, name)
            if self.bearer is not None and not self.is_anonymous:
                found &= self.bearer.repositories.get(name, NONE)
            if len(self._found) < _REPOSITORIES_REMEMBERED:
                self._found[name] = found
        return action in found

    def may_list(self) -> bool:
        """True if they may ask for the catalog, which then shows what they may pull."""
        if self.bearer is not None:
            return self.bearer.catalog
        return not self.is_anonymous or self.policy.admits_anonymous()

    def may_everywhere(self, action: Action) -> bool:
        """True if they may do this with the whole registry. No bearer token says so, only a login does."""
        return self.bearer is None and self.policy.may_everywhere(action, self.identity)


class Guard:
    """Finds out who sends a request.

    Without an authenticator the accounts are another token service's, whose tokens stand until they are over.
    """

    def __init__(
        self,
        bearers: BearerVerifier,
        policy: PolicySource,
        authenticator: Authenticator | None,
        accounts: Accounts,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._bearers = bearers
        self._policy = policy
        self._authenticator = authenticator
        self._accounts = accounts
        self._clock = clock
        self._callers: OrderedDict[str, tuple[Caller, float]] = OrderedDict()

    def recall(self, authorization: str | None) -> Caller | None:
        """Who has sent this token less than a second ago: it is not looked at again so soon."""
        known = None if authorization is None else self._callers.get(authorization)
        return known[0] if known is not None and self._clock() < known[1] else None

    @property
    def service(self) -> str:
        """The audience of the tokens that are accepted here."""
        return self._bearers.service

    async def identify(self, authorization: str | None, address: str) -> Caller:
        """Who sends a request with this `Authorization` (RFC 7617, RFC 6750) from this address.

        Raises `Unauthenticated`, `Throttled`, `IdentityUnavailable`.
        """
        policy = self._policy.current()
        if authorization is None:
            return Caller(ANONYMOUS, policy)
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer":
            caller = await self._by_bearer(value.strip(), policy)
            self._remember(authorization, caller)
            return caller
        if scheme.lower() == "basic" and self._authenticator is not None:
            name, password = read_basic(value)
            try:
                return Caller(await self._authenticator.login(name, password, address), policy)
            except AuthError as error:
                error.claimed = without_secrets(name[:_LONGEST_CLAIMED])
                raise
        raise Unauthenticated("log in with a bearer token from the token service")

    def _remember(self, authorization: str, caller: Caller) -> None:
        if len(authorization) > LONGEST_REMEMBERED:
            return
        expires = caller.bearer.expires if caller.bearer is not None else 0.0
        self._callers[authorization] = (caller, min(self._clock() + _RECALLED_SECONDS, expires))
        self._callers.move_to_end(authorization)
        if len(self._callers) > _CALLERS_REMEMBERED:
            self._callers.popitem(last=False)

    async def _by_bearer(self, token: str, policy: Policy) -> Caller:
        bearer = await self._bearers.verify(token)
        if self._authenticator is None:
            return Caller(bearer.identity, policy, bearer)
        if bearer.login and bearer.login in (await self._accounts.state()).revoked:
            raise Unauthenticated(_NOT_VALID, "invalid_token", str(bearer.identity))
        identity = await self._authenticator.confirm(bearer.identity)
        if identity is None:
            raise Unauthenticated(_NOT_VALID, "invalid_token", str(bearer.identity))
        return Caller(identity, policy, bearer)


def read_basic(value: str) -> tuple[str, str]:
    """Name and password of Basic credentials (RFC 7617). Raises `Unauthenticated`."""
    try:
        text = base64.b64decode(value.strip(), validate=True).decode()
    except ValueError as error:  # no Base64, no UTF-8, or not even ASCII
        raise Unauthenticated("the user name and password cannot be read: send them as Base64 of UTF-8") from error
    name, colon, password = text.partition(":")
    if not colon:
        raise Unauthenticated("the user name and password cannot be read: a colon parts them")
    return name, password
