"""The list of repositories, in byte order, straight from storage. Holds no state.

A repository is listed if it has manifests. Names nest (`a`, `a/b`), and `-` and `.` sort before `/`: the whole order is
a, a-b, a-b/c, a/b. So a namespace's repositories come not right behind its own name but where `name/` would stand.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from registry.content import keyspace
from registry.content.names import is_component
from registry.content.paging import Page, keys
from registry.content.side_by_side import batches, side_by_side
from registry.content.walk import is_there
from storage_backends.base import Listing, StorageBackend

_LISTING = 1000


@dataclass(frozen=True, slots=True)
class View:
    """What somebody may see: a repository by its name; and whether there can be one in a namespace (`a/b/`) at all."""

    repository: Callable[[str], bool] = lambda _: True
    namespace: Callable[[str], bool] = lambda _: True


EVERYTHING = View()


async def repositories(backend: StorageBackend, after: str, limit: int, view: View = EVERYTHING) -> Page:
    """The first `limit` repositories in `view` whose names come after `after`."""
    names: list[str] = []
    async for name in _walk(backend, "", after, limit + 1, view):
        if len(names) == limit:
            return Page(tuple(names), more=True)
        names.append(name)
    return Page(tuple(names), more=False)


async def _walk(backend: StorageBackend, namespace: str, after: str, hint: int, view: View) -> AsyncIterator[str]:
    """Every repository in a namespace (empty, or ending in `/`) whose name comes after `after`."""
    waiting: list[str] = []  # prefixes seen whose own repositories stand further down, innermost last
    async for names in batches(backend, _entries(backend, namespace, after, hint)):
        seen = [name for name in names if view.repository(name) or view.namespace(f"{name}/")]
        found = await side_by_side(backend, functools.partial(_look, backend), seen)
        await asyncio.sleep(0)  # who may see little walks far: other requests get the event loop
        for name, place in zip(seen, found, strict=True):
            while waiting and waiting[-1] < name:
                async for below in _walk(backend, waiting.pop(), after, hint, view):
                    yield below
            if name > after and view.repository(name) and place.has_manifests:
                yield name
            if place.is_namespace and view.namespace(f"{name}/"):
                waiting.append(f"{name}/")
    while waiting:
        async for below in _walk(backend, waiting.pop(), after, hint, view):
            yield below


@dataclass(frozen=True, slots=True)
class _Place:
    """What lies where a name leads."""

    has_manifests: bool
    is_namespace: bool


async def _look(backend: StorageBackend, name: str) -> _Place:
    members = await backend.children(keyspace.repository(name), limit=_LISTING)
    nested = members.more or any(not entry.startswith("_") for entry in members.entries)
    return _Place(await _has_manifests(backend, name, members), nested)


async def _has_manifests(backend: StorageBackend, name: str, members: Listing) -> bool:
    if keyspace.MANIFESTS not in members.entries and members.more:
        # a thousand names that begin with a digit come before it
        members = await backend.children(keyspace.repository(name), after=keyspace.MANIFESTS[:-1], limit=1)
    if keyspace.MANIFESTS not in members.entries or not backend.lists_marks:
        return keyspace.MANIFESTS in members.entries
    async for key in keys(backend, keyspace.manifests(name)):
        if await is_there(backend, key):
            return True
    return False


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
