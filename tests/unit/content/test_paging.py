"""Pages of names: in order, complete, and cut where they should be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.content.paging import EVERYTHING, Page, collect
from storage_backends.memory import MemoryBackend
from tests.unit.content.running import run

_NAMES = st.sets(st.text(alphabet="ab-._09", min_size=1, max_size=4).filter(lambda name: name[0] != "."), max_size=30)


async def _page(names: set[str], after: str, limit: int, dropped: set[str]) -> Page:
    backend = MemoryBackend()
    for name in names:
        await backend.put(f"list/{name}/entry", b"")

    async def keep(name: str) -> bool:
        return name not in dropped

    return await collect(backend, "list/", after, limit, keep)


@given(_NAMES, st.text(max_size=4), st.integers(0, 40), st.data())
def test_a_page_is_what_a_sorted_set_says(names: set[str], after: str, limit: int, data: st.DataObject) -> None:
    dropped = data.draw(st.sets(st.sampled_from(sorted(names)))) if names else set()

    page = run(_page(names, after, limit, dropped))

    behind = sorted(name for name in names - dropped if name > after)
    assert list(page.names) == behind[:limit]
    assert page.more or len(behind) <= limit or limit == 0


@given(_NAMES, st.integers(1, 5), st.data())
def test_following_the_pages_gives_every_name_once(names: set[str], limit: int, data: st.DataObject) -> None:
    dropped = data.draw(st.sets(st.sampled_from(sorted(names)))) if names else set()
    found: list[str] = []
    page = Page((), more=True)
    while page.more:
        page = run(_page(names, found[-1] if found else "", limit, dropped))
        found += page.names

    assert found == sorted(names - dropped)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_of_nothing_asks_nothing_and_has_no_next(limit: int) -> None:
    assert run(_page({"a", "b"}, "", limit, set())) == Page((), more=False)


def test_everything_is_one_page() -> None:
    names = {f"{number:05}" for number in range(3000)}

    page = run(_page(names, "", EVERYTHING, set()))

    assert page == Page(tuple(sorted(names)), more=False)
