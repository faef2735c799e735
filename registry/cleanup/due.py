"""Whether a collection is due, among all who could begin one. One small read, for it is asked often."""

import time
from contextlib import suppress

from registry.content import keyspace
from registry.content.leases import CollectorState, load_state
from storage_backends.base import StorageBackend
from storage_backends.errors import AlreadyExists, NotFound


async def is_due(backend: StorageBackend, interval: float, lease: float) -> bool:
    """True if the last collection ended `interval` seconds ago, or has given no sign for `lease` seconds.

    In a storage that nobody has ever collected garbage in, the first one is due after an interval.
    """
    try:
        found = await backend.get(keyspace.COLLECTOR)
    except NotFound:
        with suppress(AlreadyExists):  # another worker has just looked for the first time, too
            await backend.put(keyspace.COLLECTOR, CollectorState().dump(), if_absent=True)
        return False
    age = time.time() - found.info.modified
    return age >= (lease if load_state(found).at_work else interval)
