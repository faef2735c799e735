"""The catalog against a sorted set: every repository once, in byte order, from any point on."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry.content import catalog
from registry.content.paging import Page
from storage_backends.filesystem import FilesystemBackend
from storage_backends.memory import MemoryBackend
from tests.unit.content.running import run

_TRICKY = ["a", "a-b", "a-b/c", "a.b", "a/b", "a/b-c", "a/b/c", "a0", "a0/b", "a_b", "a__b/c", "aa", "b/a", "b/a-a/a"]
_COMPONENT = st.from_regex(r"[ab0]{1,2}((\.|_|__|-)[ab0]){0,1}", fullmatch=True)
_NAMES = st.lists(_COMPONENT, min_size=1, max_size=3).map("/".join)
_AFTER = st.text(alphabet="ab0./-_", max_size=6).filter(lambda text: text[:1] not in ("/", ".") and "/." not in text)


async def _backend(names: set[str]) -> MemoryBackend:
    backend = MemoryBackend()
    for name in names:
        await backend.put(f"docker/registry/v2/repositories/{name}/_manifests/tags/latest/current/link", b"link")
        await backend.put(f"docker/registry/v2/repositories/{name}/_layers/sha256/00/link", b"link")
    return backend


async def _page(names: set[str], after: str, limit: int) -> Page:
    return await catalog.repositories(await _backend(names), after, limit)


async def _all_pages(names: set[str], limit: int) -> list[str]:
    backend = await _backend(names)
    found: list[str] = []
    page = Page((), more=True)
    while page.more:
        page = await catalog.repositories(backend, found[-1] if found else "", limit)
        assert len(page.names) == limit or not page.more
        found += page.names
    return found


@given(st.sets(_NAMES, max_size=12), _NAMES | _AFTER, st.integers(0, 14))
@example(set(_TRICKY), "", 20)
@example(set(_TRICKY), "a", 3)
@example(set(_TRICKY), "a-b", 3)
@example(set(_TRICKY), "a-b/c", 20)
@example({"a", "a/b/c"}, "a/a", 20)
@example({"a/b"}, "a-b", 20)
@example({"a-b"}, "a/b", 20)
def test_a_page_is_what_a_sorted_set_says(names: set[str], after: str, limit: int) -> None:
    page = run(_page(names, after, limit))

    behind = sorted(name for name in names if name > after)
    assert list(page.names) == behind[:limit]
    assert page.more == (len(behind) > limit)


@given(st.sets(st.sampled_from(_TRICKY)), st.integers(1, 5))
def test_following_the_pages_gives_every_repository_once(names: set[str], limit: int) -> None:
    assert run(_all_pages(names, limit)) == sorted(names)


def test_a_namespace_that_holds_no_manifests_is_not_listed() -> None:
    assert run(_page({"a/b/c"}, "", 10)).names == ("a/b/c",)


async def _listed_with(*keys: str) -> tuple[str, ...]:
    backend = await _backend({"a", "b"})
    for key in keys:
        await backend.put(f"docker/registry/v2/repositories/{key}", b"")
    return (await catalog.repositories(backend, "", 10)).names


def test_a_repository_that_has_blobs_only_is_not_listed() -> None:
    assert run(_listed_with("c/_layers/sha256/00/link", "d/_uploads/x/data")) == ("a", "b")


@pytest.mark.parametrize("child", ["{:04}", "x{:04}"])
def test_a_repository_with_thousands_below_it_is_listed(child: str) -> None:
    """Names that begin with a digit come before `_manifests`, so the sign of a repository is not on the first page."""
    names = {"a", *(f"a/{child.format(number)}" for number in range(1010)), "b"}

    assert run(_all_pages(names, 1000)) == sorted(names)


@pytest.mark.parametrize(
    "stray", ["README", "lost+found/x", "Upper/_manifests/x", "c d/_manifests/x", "a/README", "c-/_manifests/x"]
)
def test_what_cannot_be_a_repository_is_passed_over(stray: str) -> None:
    assert run(_listed_with(stray)) == ("a", "b")


def test_hidden_files_of_an_operating_system_are_passed_over(tmp_path: Path) -> None:
    repositories = tmp_path / "docker/registry/v2/repositories"
    (repositories / "a/_manifests/tags").mkdir(parents=True)
    for place in (repositories, repositories / "a"):
        (place / ".DS_Store").touch()
        (place / ".snapshot").mkdir()

    page = run(catalog.repositories(FilesystemBackend(tmp_path), "", 10))

    assert page == Page(("a",), more=False)
