"""Filters in docker's words: `until=24h`, `label=key=value`, `repository=team/*`. Pure.

Several of one kind have to fit all, as with docker; of several `repository` and `tag` filters one has to.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

from registry.name_patterns import NamePattern, PatternInvalid

_KINDS = ("until", "label", "label!", "repository", "tag", "dangling")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.ASCII)
_YEAR_10000 = 253_402_300_800.0
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

Label = tuple[str, str | None]
"""The key of a label, and its value unless any will do."""


class FilterInvalid(ValueError):
    """A filter that means nothing; the message says what could be meant."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What was asked for; `until` in seconds since the epoch."""

    until: float | None = None
    labels: Sequence[Label] = ()
    not_labels: Sequence[Label] = ()
    repositories: Sequence[NamePattern] = ()
    not_repositories: Sequence[NamePattern] = ()
    tags: Sequence[NamePattern] = ()
    dangling: bool | None = None

    @property
    def asks_for_labels(self) -> bool:
        """True if the labels of images have to be known."""
        return bool(self.labels or self.not_labels)

    def takes_repository(self, name: str) -> bool:
        """True if it asks for this repository."""
        if any(pattern.fits(name) for pattern in self.not_repositories):
            return False
        return not self.repositories or any(pattern.fits(name) for pattern in self.repositories)

    def takes_tags(self, tags: Sequence[str]) -> bool:
        """True if it asks for an image with these tags: for each of them, for they all go."""
        return not self.tags or (bool(tags) and all(any(one.fits(tag) for one in self.tags) for tag in tags))

    def takes_labels(self, labels: Set[tuple[str, str]] | None) -> bool:
        """True if it asks for an image with these labels; never if nobody knows them."""
        return (
            labels is not None
            and all(has_label(labels, label) for label in self.labels)
            and not any(has_label(labels, label) for label in self.not_labels)
        )


def parse_filters(texts: Sequence[str], now: Callable[[], float] = time.time) -> Filters:
    """Read filters as they stand on a command line. Raises `FilterInvalid`."""
    found = by_kind(texts, _KINDS, once=("until", "dangling"))
    return Filters(
        until=parse_until(found["until"][0], now()) if found["until"] else None,
        labels=[parse_label(text) for text in found["label"]],
        not_labels=[parse_label(text) for text in found["label!"]],
        repositories=[_pattern("repository", text) for text in found["repository"]],
        tags=[_pattern("tag", text) for text in found["tag"]],
        dangling=parse_truth(found["dangling"][0]) if found["dangling"] else None,
    )


def by_kind(texts: Sequence[str], kinds: Sequence[str], once: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """The values of each of these kinds of filters, of some of them one at most. Raises `FilterInvalid`."""
    found: dict[str, list[str]] = {kind: [] for kind in kinds}
    for text in texts:
        kind, equals, value = text.partition("=")
        if not equals or kind not in kinds:
            names = ", ".join(f"{name}=" for name in kinds)
            raise FilterInvalid(f"{text!r} is no filter; there are {names}")
        if not value:
            raise FilterInvalid(f"{text!r} names nothing")
        found[kind].append(value)
    for kind in once:
        if len(found[kind]) > 1:
            raise FilterInvalid(f"{kind}= can be given once")
    return found


def parse_until(text: str, now: float) -> float:
    """A moment (seconds since the epoch): so long ago (`24h`, `7d`, `1h30m`), or a date, time (UTC, unless it says
    otherwise) or Unix time. Raises `FilterInvalid`.
    """
    moment = _moment(text, now)
    if not 0 <= moment < _YEAR_10000:
        raise FilterInvalid(f"until={text}: there was no such time")
    return moment


def _moment(text: str, now: float) -> float:
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return now - sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise FilterInvalid(
            f"until={text}: write how long ago, such as 24h or 7d, or when: 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def parse_label(text: str) -> Label:
    """A label of which the key, or the key and the value, is asked for."""
    key, equals, value = text.partition("=")
    if not key:
        raise FilterInvalid(f"label={text}: write KEY or KEY=VALUE")
    return key, value if equals else None


def has_label(labels: Set[tuple[str, str]], label: Label) -> bool:
    """True if the label is among these."""
    key, value = label
    return any(name == key for name, _ in labels) if value is None else (key, value) in labels


def _pattern(kind: str, text: str) -> NamePattern:
    try:
        return NamePattern.parse(text)
    except PatternInvalid as error:
        raise FilterInvalid(f"{kind}={text}: {error}") from error


def parse_truth(text: str) -> bool:
    """What `dangling=` says. Raises `FilterInvalid`."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise FilterInvalid(f"dangling={text}: write true or false")
    return text.lower() in ("true", "1")
