"""Bearer tokens: who somebody is and what was granted, signed for a few minutes.

Source: distribution, "Token Authentication Implementation" (claims `iss sub aud exp nbf iat jti access`); JWS with
ES256. Our own claim `cargohold` says which kind of identity it is and from which credential it came, so that the token
ends with the credential.
"""

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from auth.access import NONE, Action, Actions, parse_actions
from auth.errors import ScopeInvalid, Unauthenticated
from auth.identity import Identity, Kind
from auth.keys import ALGORITHM, SigningKeys

LONGEST_REMEMBERED = 4096
"""Longer tokens are looked at each time: a stranger may have thousands, and each takes up more than its length."""
_REMEMBERED = 4096
_LONGEST = 16 * 1024
_REQUIRED = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "access", "cargohold"]
_REFUSED = "the token is not valid here; log in again"


@dataclass(frozen=True, slots=True)
class Access:
    """One entry of a token: a resource and what was granted on it."""

    kind: str
    resource_class: str
    name: str
    actions: tuple[str, ...]

    def as_claim(self) -> dict[str, object]:
        """In the form of docker's token specification."""
        entry: dict[str, object] = {"type": self.kind, "name": self.name, "actions": list(self.actions)}
        return {**entry, "class": self.resource_class} if self.resource_class else entry


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that was verified: whose it is, what it grants by repository, and until when (seconds since the epoch).

    `login` is the id of the refresh token that it came from, if any.
    """

    identity: Identity
    repositories: Mapping[str, Actions]
    catalog: bool
    expires: float
    login: str


@dataclass(frozen=True, slots=True)
class BearerOptions:
    """`issuer` and `services` (audiences, the first is our own); `lifetime` and `leeway` in seconds."""

    issuer: str
    services: tuple[str, ...]
    lifetime: float
    leeway: float


class PublicKeys(Protocol):
    """Keys by their ids: our own, or those of another token service."""

    async def verifier(self, key_id: str) -> ec.EllipticCurvePublicKey | None:
        """The public key of that id; None if there is none or its time is over."""


class BearerMint:
    """Issues tokens."""

    def __init__(self, options: BearerOptions, keys: SigningKeys, clock: Callable[[], float] = time.time) -> None:
        self.options = options
        self._keys = keys
        self._clock = clock

    async def issue(self, identity: Identity, service: str, access: Iterable[Access], login: str = "") -> str:
        """A token for one service; `login` is the id of the refresh token that it comes from, if any."""
        now = int(self._clock())
        key_id, key = await self._keys.signer()
        claims = {
            "iss": self.options.issuer,
            "sub": "" if identity.kind is Kind.ANONYMOUS else str(identity),
            "aud": service,
            "iat": now,
            "nbf": now,
            "exp": now + int(self.options.lifetime),
            "jti": uuid.uuid4().hex,
            "access": [entry.as_claim() for entry in access],
            "cargohold": {**identity.as_plain(), "login": login},
        }
        return jwt.encode(claims, key, ALGORITHM, {"kid": key_id})


class BearerVerifier:
    """Verifies tokens for one service, the first one of the options."""

    def __init__(self, options: BearerOptions, keys: PublicKeys, clock: Callable[[], float] = time.time) -> None:
        self._options = options
        self._keys = keys
        self._clock = clock
        self._verified: OrderedDict[str, tuple[Bearer, str]] = OrderedDict()

    @property
    def service(self) -> str:
        """The audience that tokens must have."""
        return self._options.services[0]

    async def verify(self, token: str) -> Bearer:
        """What a token says, if it is one of ours, for this service, and its time has come and is not over.

        Raises `Unauthenticated`. A token that was verified is remembered as long as its key is there.
        """
        known = self._verified.get(token)
        if known is None:
            known = await self._verify(token)
            if len(token) <= LONGEST_REMEMBERED:
                self._verified[token] = known
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        elif await self._keys.verifier(known[1]) is None:
            raise Unauthenticated(_REFUSED, "invalid_token")
        if known[0].expires + self._options.leeway <= self._clock():
            raise Unauthenticated("the token has expired; log in again", "invalid_token")
        return known[0]

    async def _verify(self, token: str) -> tuple[Bearer, str]:
        if len(token) > _LONGEST:
            raise Unauthenticated(_REFUSED, "invalid_token")
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            key = await self._keys.verifier(key_id) if isinstance(key_id, str) else None
            if key is None:
                raise Unauthenticated(_REFUSED, "invalid_token")
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._options.services[0],
                issuer=self._options.issuer,
                leeway=self._options.leeway,
                options={"require": _REQUIRED, "strict_aud": True},
            )
            return _bearer(claims), str(key_id)
        except (jwt.InvalidTokenError, ScopeInvalid, KeyError, TypeError, ValueError) as error:
            raise Unauthenticated(_REFUSED, "invalid_token") from error


def _bearer(claims: Mapping[str, Any]) -> Bearer:
    own = claims["cargohold"]
    identity = Identity.from_plain(own)
    repositories: dict[str, Actions] = {}
    catalog = False
    for entry in claims["access"]:
        if entry["type"] == "repository":
            known = parse_actions(word for word in entry["actions"] if word in Action.__members__.values())
            repositories[entry["name"]] = repositories.get(entry["name"], NONE) | known
        elif entry["type"] == "registry" and entry["name"] == "catalog":
            catalog = catalog or "*" in entry["actions"]
    if not isinstance(own["login"], str):
        raise TypeError("a login is known by a word")
    return Bearer(identity, repositories, catalog, float(claims["exp"]), own["login"])
