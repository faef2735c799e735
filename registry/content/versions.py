"""Tags that are versions: which they are, their order, and ranges of them. Pure; the one door of semantic_version.

`1.27`, `v1.27.3` and `1.27.3-alpine` are versions; what a tag leaves out counts as zero. Ranges are npm's, which
skopeo's are written like: `>=1.26 <2`, `^1.26.0`, `~1.26`, `1.x || 2.x`; a comma is a space.
Source: semver.org, sections 9 to 11.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from semantic_version import NpmSpec, Version

_VERSION = re.compile(r"v?(\d{1,128})(?:\.(\d{1,128}))?(?:\.(\d{1,128}))?(?:-([0-9A-Za-z.-]+))?", re.ASCII)
_OPERATOR = re.compile(r"(>=|<=|>|<|=|\^|~)\s+")
_LONGEST_RANGE = 500


class RangeInvalid(ValueError):
    """The text is no range of versions."""


@lru_cache(maxsize=65_536)
def version_of(tag: str) -> Version | None:
    """The version that a tag is; None if it is none."""
    match = _VERSION.fullmatch(tag)
    if match is None:
        return None
    numbers = ".".join(str(int(number or 0)) for number in match.group(1, 2, 3))
    # numbers with zeros in front, as in dates, are words to semver
    words = [f"{word}-" if re.fullmatch(r"0\d+", word) else word for word in (match[4] or "").split(".")]
    try:
        return Version(numbers + (f"-{'.'.join(words)}" if match[4] else ""))
    except ValueError:
        return None


def newest(tags: Iterable[str], count: int) -> list[str]:
    """The `count` newest of those tags that are versions, the newest first. `1.27` moves with its patches, so where
    there are tags of three numbers, only these are counted.
    """
    versions = [(version, tag) for tag in tags if (version := version_of(tag)) is not None]
    whole = [(version, tag) for version, tag in versions if _is_whole(tag)]
    return [tag for _, tag in sorted(whole or versions, reverse=True)[:count]]


@dataclass(frozen=True, slots=True)
class VersionRange:
    """A range of versions."""

    text: str
    _spec: NpmSpec

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a range. Raises `RangeInvalid`."""
        plain = _OPERATOR.sub(r"\1", " ".join(text.replace(",", " ").split()))
        wrong = RangeInvalid(f"{text[:80]!r} is not a range of versions; write >=1.26 <2, ^1.26.0, ~1.26 or 1.x || 2.x")
        if not plain or len(plain) > _LONGEST_RANGE:
            raise wrong
        try:
            return cls(text, NpmSpec(plain))
        except (ValueError, AttributeError) as error:  # the latter for what its own parser does not expect: `0 - <`
            raise wrong from error

    def has(self, tag: str) -> bool:
        """True if a tag is a version of the range; with words behind it, as `-rc.1`, only if the range names some."""
        version = version_of(tag)
        return version is not None and self._spec.match(version)


def _is_whole(tag: str) -> bool:
    match = _VERSION.fullmatch(tag)
    return match is not None and match[3] is not None
