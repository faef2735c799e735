"""Pages of names out of a storage listing. Knows the backend's `children`, not what the names mean."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from storage_backends.base import StorageBackend

EVERYTHING = 1_000_000_000
"""The size of a page that holds all names."""
_YIELD_EVERY = 256
"""After so many checks other requests get the event loop: a full list of 10,000 tags must not hold everybody up."""


@dataclass(frozen=True, slots=True)
class Page:
    """Names in byte order. `more` is true if there are, or may be, names after the last one."""

    names: tuple[str, ...]
    more: bool


async def collect(
    backend: StorageBackend, prefix: str, after: str, limit: int, keep: Callable[[str], Awaitable[bool]]
) -> Page:
    """The first `limit` names below `prefix` that come after `after` and that `keep` keeps."""
    names: list[str] = []
    more = limit > 0
    while more and len(names) < limit:
        listing = await backend.children(prefix, after=after, limit=limit - len(names))
        for number, entry in enumerate(listing.entries, 1):
            if await keep(entry):
                names.append(entry)
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        more = listing.more
        after = listing.entries[-1] if listing.entries else after
    return Page(tuple(names), more)
