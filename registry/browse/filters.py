"""Filters of `docker images`: before, since, label, reference, dangling. Pure.

Of several `reference` filters one has to fit, of several of another kind all, as with docker.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from registry.cleanup.filters import FilterInvalid, Label, by_kind, has_label, parse_label, parse_truth

_KINDS = ("before", "since", "label", "reference", "dangling")
_PIECE = re.compile(r"(\*+)|\[(\^?)([^\]\\]+)\]|\\(.)|([^\[\\])", re.DOTALL)
_SPECIAL = re.compile(r"[\[&~|^]")


@dataclass(frozen=True, slots=True)
class Filters:
    """What was asked for; `before` and `since` are names of images, whose times whoever reads images finds out."""

    before: Sequence[str] = ()
    since: Sequence[str] = ()
    labels: Sequence[Label] = ()
    references: Sequence[re.Pattern[str]] = ()
    dangling: bool | None = None

    def takes_names(self, *names: str) -> bool:
        """True if one of an image's names (`repository`, `repository:tag`) is asked for."""
        return not self.references or any(pattern.fullmatch(name) for pattern in self.references for name in names)

    def takes_labels(self, labels: Mapping[str, str]) -> bool:
        """True if an image with these labels is asked for."""
        return all(has_label(labels.items(), label) for label in self.labels)


def parse_filters(texts: Sequence[str]) -> Filters:
    """Read filters as they stand on a command line. Raises `FilterInvalid`."""
    found = by_kind(texts, _KINDS, once=("dangling",))
    return Filters(
        found["before"],
        found["since"],
        [parse_label(text) for text in found["label"]],
        [parse_pattern(text) for text in found["reference"]],
        parse_truth(found["dangling"][0]) if found["dangling"] else None,
    )


def is_pattern(text: str) -> bool:
    """True if the text stands for more than one name."""
    return not set("*?[").isdisjoint(text)


def parse_pattern(text: str) -> re.Pattern[str]:
    """A pattern as Go's `path.Match` has it: `*` and `?` stop at `/`; `[a-z]`, `[^a-z]`. Raises `FilterInvalid`."""
    made, rest = "", text
    while rest:
        found = _PIECE.match(rest)
        if found is None:
            raise FilterInvalid(f"reference={text}: write a name with *, ? and [a-z], such as 'team/*:v[0-9]*'")
        stars, not_in, letters, escaped, letter = found.groups()
        if stars:
            made += "[^/]*"
        elif letters:
            made += f"[{not_in}{_SPECIAL.sub(_escaped, letters)}]"
        else:
            made += "[^/]" if letter == "?" else re.escape(escaped or letter)
        rest = rest[found.end() :]
    try:
        return re.compile(made)
    except re.error as error:
        raise FilterInvalid(f"reference={text}: {error}") from error


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"
