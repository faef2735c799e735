"""Everything that lies in the repositories of a storage, found without believing any list. Writes nothing.

Collecting garbage must not overlook a manifest because its repository has an odd name: every prefix that does not begin
with `_` is gone into, whatever it is called, and what cannot be understood is said.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.errors import DigestInvalid
from registry.content.paging import keys
from storage_backends.base import ObjectInfo, StorageBackend, StoredObject
from storage_backends.errors import NotFound
from storage_backends.keys import is_component


@dataclass(frozen=True, slots=True)
class Entry:
    """Something named by a digest below a prefix of a repository; `digest` is None if that is none of ours."""

    key: str
    digest: Digest | None


async def names(backend: StorageBackend, root: str) -> AsyncIterator[str]:
    """The name of every repository below `root` (`keyspace.REPOSITORIES` or `OWN_REPOSITORIES`), in no order."""
    waiting = [""]
    while waiting:
        namespace = waiting.pop()
        holds = False
        async for entry in children(backend, f"{root}{namespace}"):
            if entry.startswith("_"):
                holds = True
            else:
                waiting.append(f"{namespace}{entry}/")
        if holds and namespace:
            yield namespace[:-1]


async def children(backend: StorageBackend, prefix: str) -> AsyncIterator[str]:
    """All names below a prefix, in order; without those that no key can have, such as `.DS_Store`."""
    after = ""
    while True:
        listing = await backend.children(prefix, after=after)
        for entry in listing.entries:
            if is_component(entry):
                yield entry
        if not listing.more:
            return
        after = listing.entries[-1]


async def by_digest(backend: StorageBackend, prefix: str, end: str) -> AsyncIterator[Entry]:
    """What lies at `<prefix><alg>/<hex><end>`."""
    async for algorithm in children(backend, prefix):
        async for encoded in children(backend, f"{prefix}{algorithm}/"):
            yield Entry(f"{prefix}{algorithm}/{encoded}{end}", parsed(f"{algorithm}:{encoded}"))


async def is_empty(backend: StorageBackend, entry: Entry, *, dry_run: bool) -> bool:
    """True if a killed deletion has left only a name of it; that is gone then, unless it is a `dry_run`."""
    return await backend.forget_empty(f"{entry.key.rpartition('/')[0]}/", dry_run=dry_run)


async def keys_at(backend: StorageBackend, place: str) -> AsyncIterator[str]:
    """The object at a place, or all that lie below it."""
    if await is_there(backend, place):
        yield place
    async for key in keys(backend, f"{place}/"):
        yield key


async def stat_if_there(backend: StorageBackend, key: str) -> ObjectInfo | None:
    """What the storage knows of an object; None if it is gone, or only a directory is left of it."""
    try:
        return await backend.stat(key)
    except NotFound:
        return None


async def is_there(backend: StorageBackend, key: str) -> bool:
    """True if there is such an object."""
    return await stat_if_there(backend, key) is not None


async def get_if_there(backend: StorageBackend, key: str) -> StoredObject | None:
    """A small object; None as with `stat_if_there`."""
    try:
        return await backend.get(key)
    except NotFound:
        return None


async def exists(backend: StorageBackend, name: str) -> bool:
    """True if anything lies in the repository itself."""
    listing = await backend.children(keyspace.repository(name), after="_", limit=10)
    return any(entry.startswith("_") for entry in listing.entries)


def parsed(text: str) -> Digest | None:
    """The digest, if it is one of ours."""
    try:
        return Digest.parse(text)
    except DigestInvalid:
        return None
