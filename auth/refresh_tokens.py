"""Refresh tokens (docker calls them identity tokens): logins that outlive a bearer token, so that no password is kept.

One small object for each, named by the hash of the secret: whoever reads the storage learns no token. A login ends
when it is revoked, when its time is over, or when the credential that it came from no longer stands.
"""

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from auth.identity import Identity
from auth.secrets import Secret, Use
from storage_backends.base import StorageBackend
from storage_backends.errors import NotFound

_PAGE = 500
_HASH = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Login:
    """A login that lasts; times in seconds since the epoch."""

    id: str
    identity: Identity
    service: str
    client_id: str
    created: float
    expires: float


class RefreshTokens:
    """Logins below `<prefix>logins/`; `lifetime` in seconds."""

    def __init__(
        self, backend: StorageBackend, prefix: str, lifetime: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._backend = backend
        self._prefix = f"{prefix}logins/"
        self._lifetime = lifetime
        self._clock = clock

    async def issue(self, identity: Identity, service: str, client_id: str) -> tuple[str, Login]:
        """Begin a login; the first element of the result is the secret."""
        now = self._clock()
        secret = Secret.new(Use.REFRESH)
        login = Login(secret.id, identity, service, client_id[:200], now, now + self._lifetime)
        await self._backend.put(self._key(secret.hash), json.dumps(_encode(login)).encode(), if_absent=True)
        return secret.text, login

    async def find(self, text: str, service: str) -> Login | None:
        """The login of a secret, if it is for that service and its time is not over. Storage is asked each time."""
        secret = Secret.parse(text)
        if secret is None or secret.use is not Use.REFRESH:
            return None
        login = await self._load(self._key(secret.hash))
        if login is None or login.service != service or login.expires <= self._clock():
            return None
        return login

    async def all(self) -> AsyncIterator[Login]:
        """Every login that is not over."""
        async for key in self._keys():
            login = await self._load(key)
            if login is not None and login.expires > self._clock():
                yield login

    async def revoke(self, match: Callable[[Login], bool]) -> list[Login]:
        """End all logins for which `match` is true; return them."""
        ended = []
        async for key in self._keys():
            login = await self._load(key)
            if login is not None and match(login):
                await self._backend.delete(key)
                ended.append(login)
            await asyncio.sleep(0)  # a storage may answer without a pause: others get the event loop
        return ended

    async def sweep(self) -> int:
        """Remove logins whose time is over; return how many. Reads all of them: not while somebody waits."""
        now = self._clock()
        return len(await self.revoke(lambda login: login.expires <= now))

    async def _keys(self) -> AsyncIterator[str]:
        after, more = "", True
        while more:
            page = await self._backend.children(self._prefix, after=after, limit=_PAGE)
            for name in page.entries:
                if _HASH.fullmatch(name):  # and not what a filesystem or a person has left there
                    yield self._prefix + name
            more, after = page.more, page.entries[-1] if page.entries else ""

    async def _load(self, key: str) -> Login | None:
        try:
            stored = await self._backend.get(key)
        except NotFound:
            return None
        try:
            return _decode(json.loads(stored.data))
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("%s is damaged and lets nobody in: %s", key, error)
            return None

    def _key(self, secret_hash: str) -> str:
        return f"{self._prefix}{secret_hash}"


def _encode(login: Login) -> Any:
    return {
        "id": login.id,
        "identity": login.identity.as_plain(),
        "service": login.service,
        "client_id": login.client_id,
        "created": login.created,
        "expires": login.expires,
    }


def _decode(data: Any) -> Login:
    return Login(**{**data, "identity": Identity.from_plain(data["identity"])})
