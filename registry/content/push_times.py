"""When manifests were pushed: the time of a manifest's link says it, unless the link was copied from another storage.

Beside a link that was copied lies a record, which holds two times in decimal text, in seconds since the epoch: when the
manifest was pushed, and the time of the link that this is said of. A push writes the link anew and leaves the record
alone, which then speaks of a link that is no more, and does not count. Of the link's time whole seconds are compared:
that is all that some storages keep.

The record is there before the link, with the first time alone: so a copy that was stopped between the two, and is run
again, knows the link for its own, if it is hardly younger.
"""

import math
from dataclasses import dataclass

from registry.content import keyspace
from registry.content.digest import Digest
from storage_backends.base import ObjectInfo, StorageBackend
from storage_backends.errors import NotFound

_AT_ONCE_SECONDS = 60.0
"""A copy writes a link within this time after its record, or the link counts as pushed here."""


@dataclass(frozen=True, slots=True)
class _Record:
    """`link` is the time of the link that is meant, None if that was not yet there; `written` is the record's own."""

    pushed: float
    link: float | None
    written: float

    def is_about(self, link: ObjectInfo) -> bool:
        return self.link is not None and int(self.link) == int(link.modified)

    def announces(self, link: ObjectInfo) -> bool:
        return self.link is None and abs(link.modified - self.written) <= _AT_ONCE_SECONDS


async def pushed(backend: StorageBackend, name: str, digest: Digest, link: ObjectInfo) -> float:
    """When the manifest that has this link was pushed, here or where it was copied from; in seconds since the epoch."""
    return _pushed(await _read(backend, name, digest), link)


async def copy_link(backend: StorageBackend, name: str, digest: Digest, data: bytes, when: float) -> None:
    """Write the link of a manifest that was pushed elsewhere, at the time `when`."""
    key, link = keyspace.pushed(name, digest), keyspace.revision_link(name, digest)
    await backend.put_many([(key, _dump(when)), (link, data)])
    await backend.put(key, _dump(when, await backend.stat(link)))


async def keep(backend: StorageBackend, name: str, digest: Digest, link: ObjectInfo, when: float) -> None:
    """Write down that a manifest which is here, by this link, was pushed elsewhere at the time `when`, if that was its
    last push, or if the link is what a copy that was stopped has left. Never makes a manifest older that was pushed
    here.
    """
    record = await _read(backend, name, digest)
    if when > _pushed(record, link) or (record is not None and record.announces(link)):
        await backend.put(keyspace.pushed(name, digest), _dump(when, link))


def _pushed(record: _Record | None, link: ObjectInfo) -> float:
    if record is None or not record.is_about(link):
        return link.modified
    return min(record.pushed, record.written)  # nothing was pushed later than that is known, whatever clocks say


async def _read(backend: StorageBackend, name: str, digest: Digest) -> _Record | None:
    try:
        found = await backend.get(keyspace.pushed(name, digest))
        times = [float(text) for text in found.data.split()]
    except (NotFound, ValueError):
        return None  # none, or nothing that we have written
    if not 1 <= len(times) <= 2 or not all(map(math.isfinite, times)):
        return None
    return _Record(times[0], times[1] if len(times) == 2 else None, found.info.modified)


def _dump(when: float, link: ObjectInfo | None = None) -> bytes:
    return (f"{when}" if link is None else f"{when} {link.modified}").encode()
