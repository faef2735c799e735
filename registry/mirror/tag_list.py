"""All tags of a repository, of which there may be a million, in the memory that their letters take."""

from collections.abc import Iterable

from registry.content.names import Tag
from registry.content.paging import Page

_END = "\n"
"""Ends each tag; comes before all that a tag may have in it."""
_LONGEST = 128
_OVERHEAD = 500


class TagList:
    """Tags in their order, as one string."""

    def __init__(self, tags: Iterable[Tag]) -> None:
        self._text = "".join(f"{tag}{_END}" for tag in sorted(tags))

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self._text) + _OVERHEAD

    def page(self, after: str, limit: int) -> Page:
        """The first `limit` tags that come after `after`."""
        start = self._start(after)
        end = start + limit * (_LONGEST + len(_END))
        names = self._text[start:end].split(_END, limit)[:limit]
        names = [name for name in names if name]
        return Page(tuple(names), start + sum(len(name) + len(_END) for name in names) < len(self._text))

    def _start(self, after: str) -> int:
        """Where the first tag after `after` begins."""
        low, high = 0, len(self._text)
        while low < high:
            begin = self._text.rfind(_END, 0, (low + high) // 2) + 1
            end = self._text.index(_END, begin)
            if self._text[begin:end] > after:
                high = begin
            else:
                low = end + 1
        return low
