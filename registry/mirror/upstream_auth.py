"""Logs in to a registry elsewhere: reads its challenge, gets a token for a scope, keeps it until it is over.

Knows docker's token protocol and Basic; sends nothing itself. Credentials go to the registry that they are for and to
the token service that this registry names, the latter over https unless the registry itself is spoken to without.

Sources: distribution-spec "Authentication"; distribution, docs/spec/auth/token.md and oauth.md; RFC 9110 section 11.6.
"""

import asyncio
import base64
import json
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import httpx

from registry.mirror.credentials import FRESH_SECONDS, Credentials, CredentialSource
from registry.mirror.endpoints import Endpoint
from registry.mirror.errors import UpstreamDenied, UpstreamMisbehaved

Scope = tuple[str, ...]
"""What a request needs, in the words of the token protocol: `repository:team/app:pull`."""

_CLIENT = "cargohold"
_DEFAULT_LIFETIME = 60.0
_LONGEST_LIFETIME = 3600.0
_MARGIN = 30.0
"""A token that is over sooner is not used any more: an upload may begin with it."""
_KEPT = 1000
_PART = re.compile(r'([A-Za-z0-9!#$%&\'*+.^_`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?')


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in that an answer offers; the scheme in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(fields: Sequence[str]) -> list[Challenge]:
    """Read the fields `WWW-Authenticate` of an answer; what cannot be read is left out."""
    found: list[tuple[str, dict[str, str]]] = []
    for field in fields:
        for match in _PART.finditer(field):
            word, quoted, plain = match.groups()
            if quoted is None and plain is None:
                found.append((word.lower(), {}))
            elif found:
                found[-1][1][word.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return [Challenge(scheme, parameters) for scheme, parameters in found]


@dataclass(frozen=True, slots=True)
class _Held:
    header: str
    ends: float


class UpstreamAuth:
    """All logins of one registry. `send` carries a request to the token service and gives the object it answers."""

    def __init__(
        self,
        endpoint: Endpoint,
        source: CredentialSource,
        send: Callable[[httpx.Request], Awaitable[Mapping[str, object]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint
        self._source = source
        self._send = send
        self._clock = clock
        self._held: OrderedDict[Scope, _Held] = OrderedDict()
        self._locks: WeakValueDictionary[Scope, asyncio.Lock] = WeakValueDictionary()
        self._basic: _Held | None = None

    def header(self, scope: Scope) -> str | None:
        """The `Authorization` for a request, if it is known already."""
        held = self._held.get(scope) or self._basic
        return held.header if held is not None and held.ends > self._clock() else None

    async def answer(self, scope: Scope, challenges: Sequence[Challenge], refused: str | None) -> str:
        """The `Authorization` after a challenge to a request that had the header `refused`; callers share the work.

        Raises `UpstreamDenied`, `CredentialsInvalid`, and what sending raises.
        """
        lock = self._locks.setdefault(scope, asyncio.Lock())
        async with lock:
            known = self.header(scope)
            if known is not None and known != refused:
                return known  # somebody else has asked meanwhile
            offered = {challenge.scheme: challenge for challenge in challenges}
            if "bearer" in offered:
                return await self._bearer(scope, offered["bearer"], anew=refused is not None)
            if "basic" in offered:
                return await self._basic_header(refused)
        raise UpstreamDenied(f"{self._endpoint.host} wants a login of a kind that we do not know")

    async def _basic_header(self, refused: str | None) -> str:
        credentials = await self._source.get(anew=refused is not None)
        if credentials is None or not credentials.password:
            raise UpstreamDenied(f"{self._endpoint.host} wants a login, and there are no credentials for it")
        header = _basic(credentials)
        if header == refused:
            raise UpstreamDenied(f"{self._endpoint.host} does not accept the credentials of {credentials.username}")
        # some answer credentials that have ended with 403, which asks for no others: so they are not kept for long
        self._basic = _Held(header, self._clock() + FRESH_SECONDS)
        return header

    async def _bearer(self, scope: Scope, challenge: Challenge, *, anew: bool) -> str:
        credentials = await self._source.get(anew=anew)
        if credentials is not None and credentials.registry_token:
            return f"Bearer {credentials.registry_token}"
        asked = self._clock()
        answer = await self._send(self._token_request(scope, challenge, credentials))
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise UpstreamMisbehaved(f"the token service of {self._endpoint.host} gave no token")
        lifetime = answer.get("expires_in")
        seconds = _DEFAULT_LIFETIME
        if isinstance(lifetime, int | float) and lifetime > 0:
            seconds = min(lifetime, _LONGEST_LIFETIME)
        self._held[scope] = _Held(f"Bearer {token}", asked + seconds - min(_MARGIN, seconds / 2))
        self._held.move_to_end(scope)
        if len(self._held) > _KEPT:
            self._held.popitem(last=False)
        return f"Bearer {token}"

    def _token_request(self, scope: Scope, challenge: Challenge, credentials: Credentials | None) -> httpx.Request:
        realm = self._realm(challenge)
        # what the registry asks for, and what we know that we need: a mount needs two scopes, registries name one
        scopes = dict.fromkeys((*challenge.parameters.get("scope", "").split(), *scope))
        service = challenge.parameters.get("service", "")
        if credentials is not None and credentials.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": credentials.identity_token}
            form |= {"service": service, "client_id": _CLIENT, "scope": " ".join(scopes)}
            return httpx.Request("POST", realm, data=form)
        parameters = httpx.QueryParams({"service": service} if service else {})
        for each in scopes:
            parameters = parameters.add("scope", each)
        headers = {}
        if credentials is not None and credentials.password:
            parameters = parameters.add("account", credentials.username)
            headers["Authorization"] = _basic(credentials)
        # the realm may have parameters of its own
        url = httpx.URL(realm)
        return httpx.Request("GET", url.copy_merge_params(parameters), headers=headers)

    def _realm(self, challenge: Challenge) -> str:
        realm = challenge.parameters.get("realm", "")
        try:
            parts = urlsplit(realm)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
            httpx.URL(realm)
        except (ValueError, httpx.InvalidURL):
            usable = False
        if not usable:
            raise UpstreamMisbehaved(f"{self._endpoint.host} names no token service that can be used: {realm[:200]!r}")
        if parts.scheme == "http" and not self._endpoint.is_plain:
            raise UpstreamMisbehaved(
                f"{self._endpoint.host} names a token service without encryption ({realm[:200]}): nothing is sent there"
            )
        return realm


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def read_token_answer(body: bytes) -> Mapping[str, object]:
    """The JSON object that a token service answers. Raises `ValueError`."""
    try:
        document = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("not an object")  # noqa: TRY004  # of the answer, not of an argument
    return document
