"""When manifests were last pulled. Kept in memory on the way of a pull, written down every few seconds.

What is written is an empty object whose time, by the storage's clock, is that of the pull; it is written again after
`INEXACT_SECONDS`, so an image that everybody pulls costs a write now and then. A process that is killed loses the last
seconds. A manifest without a time was not pulled since times are kept at all, which counts as having been pulled at
that moment: nothing is ever removed for want of a record.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.names import RepositoryName
from registry.content.side_by_side import side_by_side
from registry.content.walk import stat_if_there
from storage_backends.base import StorageBackend
from storage_backends.errors import AlreadyExists

INEXACT_SECONDS = 300.0
"""By so much the last pull may have been later than the time that is kept."""
UNWRITTEN_SECONDS = 60.0
"""What was pulled so long ago is written; who asks what nobody has pulled lately must not ask about the time since."""
_REMEMBERED = 65_536

Pulled = tuple[RepositoryName, Digest]


class PullTimes:
    """Times of all repositories; `clock` gives seconds since whenever."""

    def __init__(self, backend: StorageBackend, clock: Callable[[], float] = time.monotonic) -> None:
        self._backend = backend
        self._clock = clock
        self._noted: set[Pulled] = set()
        self._written: OrderedDict[Pulled, float] = OrderedDict()
        self._kept = False
        self._lost = False

    def note(self, name: RepositoryName, digest: Digest) -> None:
        """A manifest is pulled now. Costs a look into a dictionary."""
        if self._clock() - self._written.get((name, digest), -INEXACT_SECONDS) < INEXACT_SECONDS:
            return
        if len(self._noted) < _REMEMBERED:
            self._noted.add((name, digest))
        else:
            self._lost = True

    async def write(self) -> int:
        """Write down what was pulled; how many times that were. To be called every few seconds, and at the end.

        Raises `StorageError`: what is not written then is written the next time.
        """
        if self._lost or not self._kept:
            await self._begin()
        noted = list(self._noted)
        await side_by_side(self._backend, self._put, noted)
        while len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)
        return len(noted)

    async def since(self) -> float | None:
        """Since when times are kept, in seconds since the epoch; None if they are not."""
        found = await stat_if_there(self._backend, keyspace.PULLS_SINCE)
        return found.modified if found is not None else None

    async def last(self, name: str, digest: Digest) -> float:
        """When the manifest was last pulled, in seconds since the epoch; 0 if not since times are kept."""
        found = await stat_if_there(self._backend, keyspace.pulled(name, digest))
        return found.modified if found is not None else 0.0

    async def _put(self, pulled: Pulled) -> None:
        now = self._clock()
        await self._backend.put(keyspace.pulled(*pulled), b"", durable=False)
        self._noted.discard(pulled)
        self._written[pulled] = now
        self._written.move_to_end(pulled)

    async def _begin(self) -> None:
        """From now on times are kept, if they are not already; if some were lost, in any case only from now on."""
        with suppress(AlreadyExists):
            await self._backend.put(keyspace.PULLS_SINCE, b"", if_absent=not self._lost)
        self._kept, self._lost = True, False
