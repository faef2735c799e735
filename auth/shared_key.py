"""A secret of all processes over a storage: made once, never changed, never shown. Knows nothing of what it is for."""

import secrets
from contextlib import suppress

from storage_backends.base import StorageBackend
from storage_backends.errors import AlreadyExists, NotFound


class SharedKey:
    """32 bytes, at `<prefix>shared_key`."""

    def __init__(self, backend: StorageBackend, prefix: str) -> None:
        self._backend = backend
        self._name = f"{prefix}shared_key"
        self._known: bytes | None = None

    async def __call__(self) -> bytes:
        """The key. The first call ever makes it."""
        if self._known is None:
            self._known = await self._read_or_make()
        return self._known

    async def _read_or_make(self) -> bytes:
        with suppress(NotFound):
            return (await self._backend.get(self._name)).data
        with suppress(AlreadyExists):  # another process was as quick: its key counts
            await self._backend.put(self._name, secrets.token_bytes(32), if_absent=True)
        return (await self._backend.get(self._name)).data
