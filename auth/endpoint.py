"""The token service over HTTP: `GET` and `POST /auth/token`, and the public keys. The only HTTP in this package.

Source: distribution, "Token Authentication Specification" (GET with Basic) and "OAuth2 Token Authentication" (POST);
RFC 8693 for the exchange of an identity token; RFC 7517 for the keys.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.access import parse_scopes
from auth.errors import AuthError, IdentityUnavailable, RequestInvalid, ScopeInvalid, Throttled, Unauthenticated
from auth.events import AuditEvent, Emit
from auth.guard import read_basic
from auth.identity import ANONYMOUS, Identity
from auth.keys import KEPT_SECONDS, SigningKeys
from auth.secrets import without_secrets
from auth.service import GrantedToken, TokenRequest, TokenService
from storage_backends.errors import StorageError

TOKEN_PATH = "/auth/token"  # noqa: S105  # a path
JWKS_PATH = "/.well-known/jwks.json"
_MAX_BODY = 64 * 1024
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # the name of a kind
_NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}
_log = logging.getLogger(__name__)

Parameters = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """How an error is answered: status, the registry's code, and OAuth's word (RFC 6749, section 5.2)."""

    status: int
    code: str
    word: str


_REFUSALS: Mapping[type[AuthError], _Refusal] = {
    Unauthenticated: _Refusal(401, "UNAUTHORIZED", "invalid_grant"),
    Throttled: _Refusal(429, "TOOMANYREQUESTS", "slow_down"),
    IdentityUnavailable: _Refusal(503, "UNAVAILABLE", "temporarily_unavailable"),
    ScopeInvalid: _Refusal(400, "UNSUPPORTED", "invalid_scope"),
    RequestInvalid: _Refusal(400, "UNSUPPORTED", "invalid_request"),
}


class TokenEndpoint:
    """Answers requests for tokens. `address` tells from where a request comes; `emit` is told of every login."""

    def __init__(self, service: TokenService, keys: SigningKeys, address: Callable[[Request], str], emit: Emit) -> None:
        self._service = service
        self._keys = keys
        self._address = address
        self._emit = emit

    def routes(self) -> list[Route]:
        """Where it is mounted."""
        return [
            Route(TOKEN_PATH, self.get, methods=["GET"]),
            Route(TOKEN_PATH, self.post, methods=["POST"]),
            Route(JWKS_PATH, self.jwks, methods=["GET"]),
        ]

    async def get(self, request: Request) -> Response:
        """A token for Basic credentials, or for nobody without them."""
        query = parse_qs(request.url.query, keep_blank_values=True)
        claimed = ""
        try:
            asked = self._asked(query, offline=_first(query, "offline_token").lower() in ("true", "1"))
            identity, authorization = ANONYMOUS, _authorization(request)
            if authorization is not None:
                scheme, _, value = authorization.partition(" ")
                if scheme.lower() != "basic":
                    raise Unauthenticated("ask for a token with a user name and password (Basic)")
                claimed, password = read_basic(value)
                identity = await self._service.login(claimed, password, self._address(request))
            granted = await self._service.grant(identity, asked)
        except (AuthError, StorageError) as error:
            return self._refused(request, error, claimed)
        return self._granted(request, identity, granted, "login" if authorization else "")

    async def post(self, request: Request) -> Response:
        """A token for a password, a refresh token or an identity token."""
        claimed, action = "", "login"
        try:
            form = await _read_form(request)
            claimed = _first(form, "username")
            action = "refresh" if _first(form, "grant_type") == "refresh_token" else "login"
            asked = self._asked(form, offline=_first(form, "access_type") == "offline")
            identity, login = await self._authenticate(form, asked.service, self._address(request))
            granted = await self._service.grant(identity, asked, login)
        except (AuthError, StorageError) as error:
            return self._refused(request, error, claimed, action)
        kind = {"issued_token_type": _ACCESS_TOKEN} if _first(form, "grant_type") == _EXCHANGE else {}
        return self._granted(request, identity, granted, action, **kind)

    async def jwks(self, _: Request) -> Response:
        """The public keys, for whoever verifies our tokens."""
        try:
            found = await self._keys.jwks()
        except StorageError as error:
            _log.error("the public keys cannot be read: %s", error)
            body = {"errors": [{"code": "UNAVAILABLE", "message": "the keys cannot be read now; try again later"}]}
            return JSONResponse(body, 503, {**_NO_STORE, "retry-after": str(IdentityUnavailable.retry_after)})
        return JSONResponse(found, headers={"cache-control": f"public, max-age={KEPT_SECONDS}"})

    async def _authenticate(self, form: Parameters, service: str, address: str) -> tuple[Identity, str]:
        """Who asks, and the id of the login that is resumed."""
        grant_type = _first(form, "grant_type")
        if grant_type == "password":
            return await self._service.login(_first(form, "username"), _first(form, "password"), address), ""
        if grant_type == "refresh_token":
            login = await self._service.resume(_first(form, "refresh_token"), service)
            return login.identity, login.id
        if grant_type == _EXCHANGE:
            return await self._service.login("", _first(form, "subject_token"), address), ""
        raise RequestInvalid("grant_type has to be password, refresh_token or " + _EXCHANGE)

    def _asked(self, parameters: Parameters, *, offline: bool) -> TokenRequest:
        service = self._service.service(_first(parameters, "service"))
        scopes = parse_scopes(parameters.get("scope", ()))
        return TokenRequest(service, scopes, _first(parameters, "client_id"), offline)

    def _granted(
        self, request: Request, identity: Identity, granted: GrantedToken, how: str, **further: str
    ) -> Response:
        scope = " ".join(
            f"{entry.kind}{f'({entry.resource_class})' if entry.resource_class else ''}:{entry.name}:"
            + ",".join(entry.actions)
            for entry in granted.access
        )
        if how:
            self._emit(self._event(request, how, "ok", 200, identity=identity, detail=scope))
        body: dict[str, object] = {
            "token": granted.token,
            "access_token": granted.token,
            "token_type": "Bearer",
            "expires_in": granted.lifetime,
            "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(granted.issued)),
            "scope": scope,
            **further,
        }
        if granted.refresh_token:
            body["refresh_token"] = granted.refresh_token
        return JSONResponse(body, headers=_NO_STORE)

    def _refused(
        self, request: Request, failure: AuthError | StorageError, claimed: str, action: str = "login"
    ) -> Response:
        error = failure if isinstance(failure, AuthError) else IdentityUnavailable(str(failure))
        refusal = next(_REFUSALS[kind] for kind in type(error).__mro__ if kind in _REFUSALS)
        if refusal.status >= 500:
            _log.error("a login cannot be checked: %s", error)
        headers = dict(_NO_STORE)
        if isinstance(error, Unauthenticated):
            headers["www-authenticate"] = 'Basic realm="registry", charset="UTF-8"'
        if isinstance(error, Throttled | IdentityUnavailable):
            headers["retry-after"] = str(error.retry_after)
        message = "logins cannot be checked now; try again later" if refusal.status >= 500 else error.message
        claimed = without_secrets(claimed[:255]) or error.claimed
        self._emit(self._event(request, action, refusal.word, refusal.status, claimed=claimed))
        body = {
            "errors": [{"code": refusal.code, "message": message}],
            "error": refusal.word,
            "error_description": message,
        }
        return Response(json.dumps(body), refusal.status, {**headers, "content-type": "application/json"})

    def _event(
        self,
        request: Request,
        action: str,
        outcome: str,
        status: int,
        *,
        identity: Identity = ANONYMOUS,
        claimed: str = "",
        detail: str = "",
    ) -> AuditEvent:
        return AuditEvent(
            action,
            outcome,
            identity,
            claimed=claimed,
            address=self._address(request),
            detail=detail,
            status=status,
            request_id=str(request.scope.get("state", {}).get("request_id", "")),
        )


def _authorization(request: Request) -> str | None:
    values = request.headers.getlist("authorization")
    if len(values) > 1:
        raise Unauthenticated("send one Authorization, not several")
    return values[0] if values else None


async def _read_form(request: Request) -> Parameters:
    """The body as form fields. Raises `RequestInvalid`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise RequestInvalid("send the request as application/x-www-form-urlencoded")
    body = b""
    async for block in request.stream():
        body += block
        if len(body) > _MAX_BODY:
            raise RequestInvalid(f"the request is larger than {_MAX_BODY} bytes")
    try:
        return parse_qs(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=200)
    except ValueError as error:  # UnicodeDecodeError is one
        raise RequestInvalid("the form cannot be read") from error


def _first(parameters: Parameters, name: str) -> str:
    values = parameters.get(name)
    return values[0] if values else ""
