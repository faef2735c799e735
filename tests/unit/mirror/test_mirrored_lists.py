"""Long lists of registries elsewhere, and lists in which something is wrong."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from registry.content.names import RepositoryName, Tag
from registry.mirror.mirroring_registry import MirroringRegistry
from tests.unit.mirror.fake_upstream import FakeUpstream

APP = RepositoryName("hub/team/app")


async def test_a_long_list_of_tags_is_fetched_once_for_all_who_ask(
    mirror: MirroringRegistry, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def tags(_: RepositoryName) -> AsyncIterator[Tag]:
        nonlocal asked
        asked += 1
        for number in range(30_000):
            if number % 1000 == 0:
                await asyncio.sleep(0)
            yield Tag(f"t{number:05}")

    monkeypatch.setattr(upstream, "tags", tags)

    pages = await asyncio.gather(*(mirror.tags(APP, "t00001", 1) for _ in range(8)))
    last = await mirror.tags(APP, "t29998", 10)

    assert {page.names for page in pages} == {("t00002",)}
    assert (last.names, last.more) == (("t29999",), False)
    assert asked == 1
