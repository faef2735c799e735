"""Whose turn it is to fetch a blob, among all processes that use a storage: a lease that expires.

    cargohold/v1/fetching/<alg>:<hex>       the upload that the blob comes into, who fetches it, and a number that
                                            grows: the beat

Of several who want a turn one gets it (a conditional write). Whoever has it beats; who waits watches the beat by its
own clock, and takes the turn over when there was none for a while. A turn saves work and protects nothing: two at the
same time fetch twice, and the blob is right all the same. All who fetch for one repository name the same upload,
and a version may be a tag of the bytes: the holder makes each value another one.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from registry.content import keyspace
from registry.content.digest import Digest
from storage_backends.base import StorageBackend
from storage_backends.errors import AlreadyExists, NotFound, StorageError, VersionMismatch

EXPIRES_SECONDS = 10.0


class Turn:
    """The turn to fetch a blob into the upload `key`, as one process sees it."""

    def __init__(self, backend: StorageBackend, digest: Digest, key: str) -> None:
        self.holder_key = ""
        """Into which upload whoever has the turn fetches; empty if nobody was seen to have it."""
        self._backend = backend
        self._own_key = key
        self._key = keyspace.fetching(digest)
        self._holder = uuid.uuid4().hex
        self._beats = 0
        self._seen = ("", 0.0)

    async def take(self) -> bool:
        """Take the turn if nobody has it, or whoever has it has given no sign for a while."""
        try:
            await self._backend.put(self._key, self._value(), if_absent=True, durable=False)
        except AlreadyExists:
            return await self._take_over()
        return True

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep the turn that was taken while this lasts; give it back afterwards."""
        beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.wait({beating})
            with suppress(StorageError):  # it expires
                await self._backend.delete(self._key, durable=False)

    async def _take_over(self) -> bool:
        try:
            found = await self._backend.get(self._key)
        except NotFound:
            return False  # it was given back this moment: the blob is there now, or not to be had
        self.holder_key = found.data.decode().partition(" ")[0]
        version, since = self._seen
        if found.info.version != version:
            self._seen = (found.info.version, time.monotonic())
            return False
        if time.monotonic() - since < EXPIRES_SECONDS:
            return False
        try:
            await self._backend.put(self._key, self._value(), if_match=version, durable=False)
        except VersionMismatch:
            return False
        return True

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(EXPIRES_SECONDS / 4)
            self._beats += 1
            with suppress(StorageError):  # the next beat may get through
                await self._backend.put(self._key, self._value(), durable=False)

    def _value(self) -> bytes:
        return f"{self._own_key} {self._holder} {self._beats}".encode()
