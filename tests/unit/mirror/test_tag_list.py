"""Lists of tags in one string: every page is what the list itself would give."""

from itertools import pairwise
from time import perf_counter

import pytest

from registry.content.names import Tag
from registry.mirror.tag_list import TagList

TAGS = [Tag(text) for text in ("v1", "v1.0", "V2", "_x", "a" * 128, "v10", "latest", "0", "v1-0")]


@pytest.mark.parametrize("count", range(len(TAGS) + 1))
def test_a_page_is_what_follows_in_order(count: int) -> None:
    known = TagList(TAGS[:count])
    ordered = sorted(TAGS[:count])

    for after in ("", "!", "v1.", "v1", "zzz", "~", "\n", *TAGS):
        left = [tag for tag in ordered if tag > after]
        for limit in (0, 1, 2, len(TAGS), 1_000_000_000):
            page = known.page(after, limit)

            assert (list(page.names), page.more) == (left[:limit], len(left) > limit)


def test_a_list_takes_what_its_letters_take_and_a_page_no_time() -> None:
    known = TagList(Tag(f"build-{number:06}") for number in range(300_000))

    began = perf_counter()
    for first, second in pairwise(range(1000, 2000)):
        assert known.page(f"build-{first:06}", 1).names == (f"build-{second:06}",)

    assert known.size < 300_000 * 14
    assert perf_counter() - began < 1
