"""Whether a cleanup is due, among all who could begin one. Two small reads, for it is asked often."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress

from registry.content import keyspace
from registry.content.leases import load_state
from storage_backends.base import StorageBackend
from storage_backends.errors import AlreadyExists, NotFound


async def is_due(backend: StorageBackend, work: str, interval: float, lease: float) -> bool:
    """True if `work` was done `interval` seconds ago or earlier, and nobody is at work.

    Somebody who has given no sign for `lease` seconds is dead: then it is due at once, to tidy up after them. In a
    storage in which it has never been done the first time is after an interval.
    """
    with suppress(NotFound):
        found = await backend.get(keyspace.COLLECTOR)
        if load_state(found).at_work:
            return time.time() - found.info.modified >= lease
    key = f"{keyspace.LAST_DONE}{work}"
    try:
        return time.time() - (await backend.stat(key)).modified >= interval
    except NotFound:
        with suppress(AlreadyExists):  # another worker has just looked for the first time, too
            await backend.put(key, b"", if_absent=True)
        return False


async def done(backend: StorageBackend, work: str, outcome: Mapping[str, object] | None = None) -> None:
    """It was done now, and this has come of it."""
    data = json.dumps(outcome).encode() if outcome is not None else b""
    await backend.put(f"{keyspace.LAST_DONE}{work}", data, durable=False)


async def last_done(backend: StorageBackend, work: str) -> tuple[float, Mapping[str, object]] | None:
    """When it was last done (seconds since the epoch), and what has come of it; None if that is not known."""
    try:
        found = await backend.get(f"{keyspace.LAST_DONE}{work}")
        return found.info.modified, json.loads(found.data)
    except (NotFound, ValueError):  # a power cut may have taken what it said, which is not synced
        return None
