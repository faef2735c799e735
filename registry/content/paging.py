"""Names and keys out of storage listings, page by page. Knows the backend's listings, not what the names mean."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass

from registry.content.side_by_side import side_by_side
from storage_backends.base import StorageBackend

_PAGE = 10_000
"""So many keys are in memory at a time: a storage that has no order of its own looks at all of them for each page."""
EVERYTHING = 1_000_000_000
"""The size of a page that holds all names."""


@dataclass(frozen=True, slots=True)
class Page:
    """Names in byte order. `more` is true if there are, or may be, names after the last one."""

    names: tuple[str, ...]
    more: bool
    warning: str | None = None
    """Why this may not be what the place that it was fetched from would say now; for people."""


async def collect(
    backend: StorageBackend, prefix: str, after: str, limit: int, keep: Callable[[str], Coroutine[None, None, bool]]
) -> Page:
    """The first `limit` names below `prefix` that come after `after` and that `keep` keeps."""
    names: list[str] = []
    more = limit > 0
    while more and len(names) < limit:
        listing = await backend.children(prefix, after=after, limit=limit - len(names))
        kept = await side_by_side(backend, keep, listing.entries)
        names += [entry for entry, is_kept in zip(listing.entries, kept, strict=True) if is_kept]
        more = listing.more
        after = listing.entries[-1] if listing.entries else after
    return Page(tuple(names), more)


async def pages(backend: StorageBackend, prefix: str) -> AsyncIterator[Sequence[str]]:
    """All keys that begin with a prefix, in order, as many at a time as the storage gives."""
    after = ""
    while True:
        listing = await backend.list(prefix, after=after, limit=_PAGE)
        if listing.entries:
            yield listing.entries
        if not listing.more:
            return
        after = listing.entries[-1]


async def keys(backend: StorageBackend, prefix: str) -> AsyncIterator[str]:
    """As `pages`, one by one."""
    async for page in pages(backend, prefix):
        for key in page:
            yield key
