"""Trusted issuers of identity tokens: a pipeline's or service account's signed claims become a robot with a scope.

Source: OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725 (JWT best current practices). Nothing in a token chooses how
it is checked: algorithms, keys and audiences come from the settings.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from auth.access import Grant, is_repository_name, parse_actions
from auth.errors import ScopeInvalid, Unauthenticated
from auth.identity import Credential, Identity, Kind
from auth.jwks import JwksCache, KeySource
from auth.patterns import check_repositories, matches

_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_ALGORITHM = re.compile(r"(?:RS|PS|ES)(?:256|384|512)|EdDSA")
_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_.:/-]+)\}")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_LATEST = 253_402_300_800  # seconds: the year 10000
_LONGEST_NAME = 255
_REFUSED = "the identity token is not accepted here"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IdentityRule:
    """What a token becomes if each claim in `when` fits one of its patterns. `{claim}` in `name` and `scope` is filled
    in. Raises `ValueError` if it looks at nothing.
    """

    when: Mapping[str, tuple[str, ...]]
    name: str
    scope: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that the rule can only fit on purpose."""
        if not self.when or not all(self.when.values()):
            raise ValueError("an identity has to say in `when` which claims it is for")
        if not self.scope:
            raise ValueError("an identity has to say in `scope` what it may do")
        if not self.name or any(brace in _PLACEHOLDER.sub("", self.name) for brace in "{}"):
            raise ValueError(f"{self.name!r} is no name for an identity; write it as ci/{{project_path}}")
        for text in self.scope:
            check_repositories(Grant.parse(_PLACEHOLDER.sub("x", text)).pattern)  # raises ScopeInvalid, which says why


@dataclass(frozen=True, slots=True)
class IssuerOptions:
    """An issuer. `leeway` and `max_lifetime` (0: any) in seconds. Raises `ValueError` for what cannot be safe."""

    name: str
    issuer: str
    audiences: tuple[str, ...]
    rules: tuple[IdentityRule, ...]
    jwks_url: str = ""
    jwks_file: str = ""
    ca_file: str = ""
    token_file: str = ""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    leeway: float = 60.0
    max_lifetime: float = 0.0

    def __post_init__(self) -> None:
        """Check that no symmetric algorithm is let in: with one, the public key would be the secret."""
        wrong = [name for name in self.algorithms if not _ALGORITHM.fullmatch(name)]
        if wrong or not self.algorithms:
            raise ValueError(f"algorithms: {', '.join(wrong) or 'none'} cannot be used; RS256, ES256, EdDSA can")
        if not self.audiences or not all(self.audiences):
            raise ValueError("audiences: say whom tokens have to be meant for")


class Issuers:
    """All issuers whose word counts. Raises `ValueError` if two are the same."""

    def __init__(self, options: Sequence[IssuerOptions], clock: Callable[[], float] = time.time) -> None:
        self._options = {item.issuer: item for item in options}
        if len(self._options) < len(options) or len(self.names()) < len(options):
            raise ValueError("two issuers have the same name or `iss`; give one of them all the identities")
        self._clock = clock
        self._keys = {
            item.issuer: JwksCache(KeySource(item.issuer, item.jwks_url, item.jwks_file, item.ca_file, item.token_file))
            for item in options
        }

    def knows(self, token: str) -> bool:
        """True if this is a token that says it comes from one of the issuers. Nothing is verified yet."""
        return self._issuer_of(token) is not None

    def names(self) -> frozenset[str]:
        """The names of the issuers."""
        return frozenset(item.name for item in self._options.values())

    async def identify(self, token: str) -> Identity:
        """The robot that a token's claims make. Raises `Unauthenticated`, `IdentityUnavailable`."""
        options = self._issuer_of(token)
        if options is None:
            raise Unauthenticated(_REFUSED)
        try:
            claims = await self._verify(token, options)
            return self._identity(claims, options, token)
        except (jwt.InvalidTokenError, _Refused) as error:
            _log.warning("an identity token of issuer %s is refused: %s", options.name, error)
            raise Unauthenticated(_REFUSED) from error

    def close(self) -> None:
        """Let go of the keys."""
        for keys in self._keys.values():
            keys.close()

    def _issuer_of(self, token: str) -> IssuerOptions | None:
        if not _FORM.fullmatch(token):
            return None
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except (jwt.InvalidTokenError, ValueError):
            return None
        issuer = claims.get("iss")
        return self._options.get(issuer) if isinstance(issuer, str) else None

    async def _verify(self, token: str, options: IssuerOptions) -> Mapping[str, Any]:
        header = jwt.get_unverified_header(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in options.algorithms or "crit" in header:
            raise _Refused(f"algorithm {str(algorithm)[:20]!r} or a critical header is not accepted")
        if key_id is not None and not isinstance(key_id, str):
            raise _Refused("the key id is no text")
        key = await self._keys[options.issuer].find(key_id, algorithm)
        if key is None:
            raise _Refused("no key of the issuer fits")
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=list(options.audiences),
            issuer=options.issuer,
            # times are looked at below, with our clock
            options={"require": ["iss", "aud", "exp", "iat", "sub"], "verify_exp": False, "verify_nbf": False,
                     "verify_iat": False},
        )  # fmt: skip
        if not claims["sub"]:
            raise _Refused("it is about nobody")
        self._check_times(claims, options)
        return claims

    def _check_times(self, claims: Mapping[str, Any], options: IssuerOptions) -> None:
        now = self._clock()
        times = {name: claims.get(name, 0) for name in ("exp", "iat", "nbf")}
        # not NaN, which is neither earlier nor later than any time, and not infinity
        if not all(type(value) in (int, float) and 0 <= value < _LATEST for value in times.values()):
            raise _Refused("a time is none")
        if times["exp"] + options.leeway <= now:
            raise _Refused("it has expired")
        if max(times["iat"], times["nbf"]) - options.leeway > now:
            raise _Refused("it is from the future")
        if options.max_lifetime and times["exp"] - times["iat"] > options.max_lifetime:
            raise _Refused(f"it is good for longer than {options.max_lifetime:g} seconds")

    def _identity(self, claims: Mapping[str, Any], options: IssuerOptions, token: str) -> Identity:
        for rule in options.rules:
            if all(_fits(_claim(claims, name), patterns) for name, patterns in rule.when.items()):
                scope = tuple(grant for text in rule.scope if (grant := _grant(text, claims)) is not None)
                if not scope:
                    raise _Refused("the claims make no scope: a value is not plainly a part of a repository's name")
                stamp = hashlib.sha256(str(claims.get("jti", token)).encode()).hexdigest()[:16]
                credential = Credential("issuer", options.name, stamp)
                return Identity(Kind.ROBOT, _name(rule.name, claims), scope=scope, credential=credential)
        raise _Refused("no identity fits its claims")


class _Refused(Exception):
    """A token is not accepted; the message is for the log."""


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, or by a dotted path into objects: the longest name that is there is taken first."""
    if path in claims:
        return claims[path]
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        inside = claims.get(".".join(parts[:end]))
        if isinstance(inside, dict):
            return _claim(inside, ".".join(parts[end:]))
    return None


def _fits(value: Any, patterns: Sequence[str]) -> bool:
    values = value if isinstance(value, list) else [value]
    texts = [text for item in values if (text := _text(item)) is not None]
    return any(matches(pattern, text) for pattern in patterns for text in texts)


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int) else None


def _name(template: str, claims: Mapping[str, Any]) -> str:
    """The identity's name, which rules and the audit log go by: whole, and without what would not be seen there."""

    def fill(found: re.Match[str]) -> str:
        text = _text(_claim(claims, found[1]))
        if text is None or not _PRINTABLE.fullmatch(text):
            raise _Refused(f"the claim {found[1]!r} cannot be part of a name")
        return text

    name = _PLACEHOLDER.sub(fill, template)
    if len(name) > _LONGEST_NAME:
        raise _Refused("the name would be too long")
    return name


def _grant(template: str, claims: Mapping[str, Any]) -> Grant | None:
    """A grant with the claims filled in; None if a value could mean more than the part of a name that it stands for."""
    pattern, _, words = template.rpartition(":")
    filled = pattern
    for found in _PLACEHOLDER.finditer(pattern):
        text = _text(_claim(claims, found[1]))
        if text is None or not is_repository_name(text):
            return None
        filled = filled.replace(found[0], text)
    try:
        return Grant.parse(f"{filled}:{words}") if parse_actions(words.split(",")) else None
    except ScopeInvalid:
        return None
