"""When each access token was last used: written now and then, lost at most for a few minutes, never in the way."""

import json
import logging
import time
from collections.abc import Callable

from storage_backends.base import StorageBackend
from storage_backends.errors import NotFound, StorageError

_EVERY_SECONDS = 300.0
_log = logging.getLogger(__name__)


class TokenUses:
    """Times of last use below `<prefix>uses/`."""

    def __init__(self, backend: StorageBackend, prefix: str, clock: Callable[[], float] = time.time) -> None:
        self._backend = backend
        self._prefix = f"{prefix}uses/"
        self._clock = clock
        self._written: dict[str, float] = {}

    async def note(self, token_id: str) -> None:
        """The token was used now. Kept in storage if the last time that this process did so is a while ago."""
        now = self._clock()
        if now - self._written.get(token_id, float("-inf")) < _EVERY_SECONDS:
            return
        self._written[token_id] = now
        try:
            await self._backend.put(self._prefix + token_id, json.dumps({"used": int(now)}).encode())
        except StorageError as error:  # a full disk is no reason to refuse a login
            _log.warning("the last use of access token %s cannot be kept: %s", token_id, error)

    async def last(self, token_id: str) -> float | None:
        """When the token was last used, in seconds since the epoch; None if it never was."""
        try:
            stored = await self._backend.get(self._prefix + token_id)
        except NotFound:
            return None
        return float(json.loads(stored.data)["used"])

    async def forget(self, token_id: str) -> None:
        """The token is gone."""
        await self._backend.delete(self._prefix + token_id)
