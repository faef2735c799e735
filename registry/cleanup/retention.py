"""Retention: which tags and untagged images of a repository stay, and by which rule. Pure.

Of several policies the first whose `repositories` fit decides on a repository, alone. What a `keep` rule names stays,
whatever else is said. A tag that an `expire` rule names and no `keep` rule keeps goes when its time is over; it is not
counted among the newest. If a policy has `keep` rules, every other tag goes, too; if it has none, they all stay.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from registry.cleanup.filters import Label, has_label
from registry.cleanup.inventory import attached_to
from registry.content.digest import Digest
from registry.content.versions import version_of
from registry.name_patterns import NamePattern

Order = Literal["pushed", "semver"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tag, or (without a name) an image that has none. `pulled` is the latest moment at which it may have been
    pulled, `pushed` and `arrived` are as in `inventory.Image`; times are in seconds since the epoch.
    """

    digest: Digest
    tag: str
    pushed: float
    arrived: float
    pulled: float = 0.0
    labels: frozenset[tuple[str, str]] | None = frozenset()
    """None if nobody knows them."""
    signed: bool = False
    immutable: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """Keeps what fits all that is said here; of that only the `newest` images by push or by version, if it is given.

    Times in seconds.
    """

    tags: Sequence[NamePattern] = ()
    newest: int | None = None
    order: Order = "pushed"
    pulled_within: float | None = None
    pushed_within: float | None = None
    labels: Sequence[Label] = ()
    signed: bool = False

    def __str__(self) -> str:
        words = [f"newest {self.newest}" if self.newest is not None else ""]
        words += [f"by {self.order}" if self.order == "semver" else ""]
        words += [f"tags {_listed(self.tags)}" if self.tags else ""]
        words += [f"pulled within {told(self.pulled_within)}" if self.pulled_within is not None else ""]
        words += [f"pushed within {told(self.pushed_within)}" if self.pushed_within is not None else ""]
        words += [f"label {key}" + ("" if value is None else f"={value}") for key, value in self.labels]
        words += ["signed" if self.signed else ""]
        return "keep " + ", ".join(filter(None, words))

    def fits(self, candidate: Candidate, now: float) -> bool:
        """True if the candidate is of the kind that this keeps."""
        return (
            (not self.tags or _any_fits(self.tags, candidate.tag))
            and (self.newest is None or candidate.tag != "")
            and (self.order != "semver" or version_of(candidate.tag) is not None)
            and (self.pulled_within is None or candidate.pulled >= now - self.pulled_within)
            and (self.pushed_within is None or candidate.pushed >= now - self.pushed_within)
            and (candidate.labels is None or all(has_label(candidate.labels, label) for label in self.labels))
            and (not self.signed or candidate.signed)
        )


@dataclass(frozen=True, slots=True)
class Expire:
    """Tags that go `after` so many seconds."""

    tags: Sequence[NamePattern]
    after: float

    def __str__(self) -> str:
        return f"expire {_listed(self.tags)} after {told(self.after)}"

    def fits(self, tag: str) -> bool:
        """True if the tag is meant."""
        return _any_fits(self.tags, tag)


@dataclass(frozen=True, slots=True)
class Policy:
    """What stays in some repositories. By itself a server acts only on policies that are `enabled`. Untagged images
    that nobody has used for `untagged_after` seconds go, if it is given.
    """

    name: str
    repositories: Sequence[NamePattern]
    keep: Sequence[Keep] = ()
    expire: Sequence[Expire] = ()
    untagged_after: float | None = None
    enabled: bool = False

    def takes(self, repository: str) -> bool:
        """True if it is meant for this repository."""
        return _any_fits(self.repositories, repository)

    @property
    def asks_for_pulls(self) -> bool:
        """True if it has to be known when images were pulled."""
        return self.untagged_after is not None or any(rule.pulled_within is not None for rule in self.keep)

    @property
    def asks_for_labels(self) -> bool:
        """True if the labels of images have to be known."""
        return any(rule.labels for rule in self.keep)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a tag or an untagged image stays, and why."""

    candidate: Candidate
    keeps: bool
    reason: str


@dataclass(slots=True)
class _Deciding:
    policy: Policy
    now: float
    grace: float
    kept: dict[Candidate, str] = field(default_factory=dict)

    def decide(self, candidate: Candidate) -> Decision:
        """What becomes of a candidate after all `keep` rules were asked."""
        if candidate.immutable:
            return Decision(candidate, True, "immutable")
        if candidate in self.kept:
            return Decision(candidate, True, self.kept[candidate])
        if candidate.arrived >= self.now - self.grace:
            how = "pushed" if candidate.pushed >= self.now - self.grace else "copied here"
            return Decision(candidate, True, f"{how} within the grace period")
        return self._tagged(candidate) if candidate.tag else self._untagged(candidate)

    def _tagged(self, candidate: Candidate) -> Decision:
        expiring = [rule for rule in self.policy.expire if rule.fits(candidate.tag)]
        over = [rule for rule in expiring if candidate.pushed < self.now - rule.after]
        if over:
            return Decision(candidate, False, str(over[0]))
        if expiring:
            return Decision(candidate, True, f"not yet: {expiring[0]}")
        if self.policy.keep:
            return Decision(candidate, False, "no rule keeps it")
        return Decision(candidate, True, "no rule expires it")

    def _untagged(self, candidate: Candidate) -> Decision:
        after = self.policy.untagged_after
        if after is None:
            return Decision(candidate, True, "no rule for untagged images")
        rule = f"untagged, and not used for {told(after)}"
        if max(candidate.pushed, candidate.pulled) < self.now - after:
            return Decision(candidate, False, rule)
        return Decision(candidate, True, f"not yet: {rule}")


def decide(policy: Policy, candidates: Sequence[Candidate], now: float, grace: float) -> list[Decision]:
    """What becomes of all tags and untagged images of a repository, in their order. What was pushed within the last
    `grace` seconds stays.
    """
    deciding = _Deciding(policy, now, grace)
    for rule in policy.keep:
        fitting = [candidate for candidate in candidates if rule.fits(candidate, now)]
        if rule.newest is not None:
            counted = [one for one in fitting if not any(expire.fits(one.tag) for expire in policy.expire)]
            images = [one for one in counted if not attached_to(one.tag)]
            others = [one for one in counted if attached_to(one.tag)]  # signatures whose image is gone
            fitting = [*_newest(images, rule.newest, rule.order), *_newest(others, rule.newest, rule.order)]
        for candidate in fitting:
            deciding.kept.setdefault(candidate, str(rule))
    return [deciding.decide(candidate) for candidate in candidates]


def told(seconds: float) -> str:
    """A duration as people write it: `14d`, `12h`, `90s`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"


def _any_fits(patterns: Sequence[NamePattern], name: str) -> bool:
    return any(pattern.fits(name) for pattern in patterns)


def _listed(patterns: Sequence[NamePattern]) -> str:
    return " ".join(pattern.text for pattern in patterns)


def _newest(candidates: Iterable[Candidate], count: int, order: Order) -> list[Candidate]:
    """The tags of the first `count` images: tags that name the same image are one."""
    rank: Callable[[Candidate], Any] = _by_push if order == "pushed" else _by_version
    found: list[Candidate] = []
    images: set[Digest] = set()
    for candidate in sorted(candidates, key=rank, reverse=True):
        if candidate.digest in images or len(images) < count:
            images.add(candidate.digest)
            found.append(candidate)
    return found


def _by_push(candidate: Candidate) -> tuple[float, str]:
    return candidate.pushed, candidate.tag


def _by_version(candidate: Candidate) -> tuple[Any, str]:
    return version_of(candidate.tag), candidate.tag
