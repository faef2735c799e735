"""The list of repositories, in byte order, straight from storage. Holds no state.

A repository is listed if it has manifests. Names nest (`a`, `a/b`), and `-` and `.` sort before `/`: the whole order is
a, a-b, a-b/c, a/b. So a namespace's repositories come not right behind its own name but where `name/` would stand.
"""

from collections.abc import AsyncIterator

from registry.content import keyspace
from registry.content.names import is_component
from registry.content.paging import Page
from storage_backends.base import Listing, StorageBackend

_LISTING = 1000


async def repositories(backend: StorageBackend, after: str, limit: int) -> Page:
    """The first `limit` repositories whose names come after `after`."""
    names: list[str] = []
    async for name in _walk(backend, "", after, limit + 1):
        if len(names) == limit:
            return Page(tuple(names), more=True)
        names.append(name)
    return Page(tuple(names), more=False)


async def _walk(backend: StorageBackend, namespace: str, after: str, hint: int) -> AsyncIterator[str]:
    """Every repository in a namespace (empty, or ending in `/`) whose name comes after `after`."""
    waiting: list[str] = []  # prefixes seen whose own repositories stand further down, innermost last
    async for name in _entries(backend, namespace, after, hint):
        while waiting and waiting[-1] < name:
            async for below in _walk(backend, waiting.pop(), after, hint):
                yield below
        members = await backend.children(keyspace.repository(name), limit=_LISTING)
        if name > after and await _has_manifests(backend, name, members):
            yield name
        if members.more or any(not entry.startswith("_") for entry in members.entries):
            waiting.append(f"{name}/")
    while waiting:
        async for below in _walk(backend, waiting.pop(), after, hint):
            yield below


async def _has_manifests(backend: StorageBackend, name: str, members: Listing) -> bool:
    if keyspace.MANIFESTS in members.entries or not members.more:
        return keyspace.MANIFESTS in members.entries
    # a thousand names that begin with a digit come before it
    behind = await backend.children(keyspace.repository(name), after=keyspace.MANIFESTS[:-1], limit=1)
    return keyspace.MANIFESTS in behind.entries


async def _entries(backend: StorageBackend, namespace: str, after: str, hint: int) -> AsyncIterator[str]:
    """The names in a namespace, in order, leaving out those that neither are nor hold a repository after `after`."""
    prefix = keyspace.repository(namespace[:-1]) if namespace else keyspace.REPOSITORIES
    start = ""
    if after.startswith(namespace):
        start = after[len(namespace) :].partition("/")[0]
        for end in range(1, len(start) + 1):
            # `start` itself, and names before it whose subtree still comes after it: a/… comes after a-b
            if (end == len(start) or start[end] < "/") and (
                await backend.children(f"{prefix}{start[:end]}/", limit=1)
            ).entries:
                yield namespace + start[:end]
    elif after > namespace:
        return
    while True:
        listing = await backend.children(prefix, after=start, limit=min(hint + 8, _LISTING))
        for entry in listing.entries:
            if is_component(entry):  # and not one of distribution's `_…`, nor what strayed here
                yield namespace + entry
        if not listing.more:
            return
        start = listing.entries[-1]
