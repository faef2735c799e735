"""A storage like a bucket in what a version is: a tag of the bytes, the same for the same bytes."""

import hashlib
from dataclasses import replace

from storage_backends.base import StoredObject
from storage_backends.errors import NotFound, VersionMismatch
from storage_backends.memory import MemoryBackend


class TaggedBackend(MemoryBackend):
    """In memory, with tags for versions."""

    async def get(self, key: str) -> StoredObject:
        """See the contract."""
        found = await super().get(key)
        return replace(found, info=replace(found.info, version=hashlib.sha256(found.data).hexdigest()))

    async def put(
        self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None, durable: bool = True
    ) -> None:
        """See the contract."""
        if if_match is not None:
            try:
                found = await self.get(key)
            except NotFound as error:
                raise VersionMismatch(key) from error
            if found.info.version != if_match:
                raise VersionMismatch(key)
        await super().put(key, data, if_absent=if_absent, durable=durable)
