"""Listings against the obvious: a sorted list of keys."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage_backends.base import Listing, StorageBackend
from storage_backends.memory import MemoryBackend
from tests.contract.directory import open_directory

Fresh = Callable[[], AbstractContextManager[StorageBackend]]
_PART = st.text("ab-._0", min_size=1, max_size=3).filter(lambda part: part[0] != ".")
_KEY = st.lists(_PART, min_size=1, max_size=4).map("/".join)


def _fits(keys: set[str]) -> bool:
    """No key is a prefix of another one: on a directory a name is a file or a directory."""
    return not any(other.startswith(f"{key}/") for key in keys for other in keys)


_KEYS = st.sets(_KEY, max_size=12).filter(_fits)


@contextmanager
def _in_memory() -> Iterator[StorageBackend]:
    yield MemoryBackend()


@contextmanager
def _in_a_directory() -> Iterator[StorageBackend]:
    with tempfile.TemporaryDirectory() as root:
        yield open_directory(Path(root))


@pytest.mark.parametrize("fresh", [_in_memory, _in_a_directory])
@settings(max_examples=100, deadline=None)
@given(
    keys=_KEYS,
    prefix=st.one_of(st.just(""), _KEY, _KEY.map(lambda key: f"{key}/")),
    after=_KEY,
    limit=st.integers(1, 5),
)
def test_pages_of_keys_are_those_of_a_sorted_list(
    fresh: Fresh, keys: set[str], prefix: str, after: str, limit: int
) -> None:
    expected = sorted(key for key in keys if key.startswith(prefix) and key > after)

    with fresh() as backend:
        asyncio.run(_fill(backend, keys))
        assert asyncio.run(_all_pages(lambda start: backend.list(prefix, after=start, limit=limit), after)) == expected


@pytest.mark.parametrize("fresh", [_in_memory, _in_a_directory])
@settings(max_examples=100, deadline=None)
@given(keys=_KEYS, prefix=st.one_of(st.just(""), _KEY.map(lambda key: f"{key}/")), after=_PART, limit=st.integers(1, 5))
def test_pages_of_names_are_those_of_a_sorted_list(
    fresh: Fresh, keys: set[str], prefix: str, after: str, limit: int
) -> None:
    names = {key[len(prefix) :].partition("/")[0] for key in keys if key.startswith(prefix)}
    expected = sorted(name for name in names if name > after)

    with fresh() as backend:
        asyncio.run(_fill(backend, keys))
        pages = _all_pages(lambda start: backend.children(prefix, after=start, limit=limit), after)
        assert asyncio.run(pages) == expected


async def _fill(backend: StorageBackend, keys: set[str]) -> None:
    await backend.put_many([(key, b"") for key in keys])


async def _all_pages(page: Callable[[str], object], after: str) -> list[str]:
    found: list[str] = []
    while True:
        listing: Listing = await page(after)  # type: ignore[misc]
        found += listing.entries
        if not listing.more:
            return found
        after = listing.entries[-1]
