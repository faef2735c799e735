"""When manifests were last pulled. Kept in memory on the way of a pull, written down every now and then.

A crash loses the last minute or so; a manifest without a time was not pulled since times are kept at all, which counts
as having been pulled at that moment: nothing is ever removed for want of a record.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.names import RepositoryName
from storage_backends.base import StorageBackend
from storage_backends.errors import AlreadyExists, NotFound

_EXACT_SECONDS = 300.0
"""A time is written again only if it is older than this."""
_REMEMBERED = 65_536

Pulled = tuple[RepositoryName, Digest]


class PullTimes:
    """Times of all repositories; `clock` gives seconds since the epoch."""

    def __init__(self, backend: StorageBackend, clock: Callable[[], float] = time.time) -> None:
        self._backend = backend
        self._clock = clock
        self._new: dict[Pulled, float] = {}
        self._written: OrderedDict[Pulled, float] = OrderedDict()

    def note(self, name: RepositoryName, digest: Digest) -> None:
        """A manifest is pulled now. Costs an entry in a dictionary."""
        if len(self._new) < _REMEMBERED:
            self._new[name, digest] = self._clock()

    async def write(self) -> int:
        """Write down what was pulled; how many times that were. To be called every minute, and at the end."""
        await self.begin()
        noted, self._new = self._new, {}
        written = 0
        for pulled, when in noted.items():
            if when - self._written.get(pulled, 0.0) < _EXACT_SECONDS:
                continue
            await self._backend.put(keyspace.pulled(*pulled), b"%d" % when, durable=False)
            self._written[pulled] = when
            self._written.move_to_end(pulled)
            written += 1
            await asyncio.sleep(0)
        while len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)
        return written

    async def begin(self) -> None:
        """From now on times are kept, if they are not already."""
        try:
            await self._backend.stat(keyspace.PULLS_SINCE)
        except NotFound:
            with suppress(AlreadyExists):
                await self._backend.put(keyspace.PULLS_SINCE, b"%d" % self._clock(), if_absent=True)

    async def since(self) -> float:
        """Since when times are kept, in seconds since the epoch; now, if they are not."""
        try:
            return float((await self._backend.get(keyspace.PULLS_SINCE)).data)
        except NotFound:
            return self._clock()

    async def last(self, name: str, digest: Digest) -> float:
        """When the manifest was last pulled, in seconds since the epoch; 0 if not since times are kept."""
        try:
            return float((await self._backend.get(keyspace.pulled(name, digest))).data)
        except NotFound:
            return 0.0
