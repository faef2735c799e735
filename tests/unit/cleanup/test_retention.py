"""What the rules of a policy mean, as decisions on tags."""

from collections.abc import Sequence

from registry.cleanup.retention import Candidate, Decision, Expire, Keep, Policy, decide, told
from registry.content.digest import Digest
from registry.name_patterns import NamePattern

DAY = 86400.0
NOW = 1000 * DAY
GRACE = 3600.0


def tag(name: str, age: float = 100, *, image: str = "", **more: object) -> Candidate:
    """A tag whose image was pushed so many days ago; tags with the same `image` name the same one."""
    pushed = NOW - age * DAY
    return Candidate(Digest.of((image or name).encode()), name, pushed, **{"arrived": pushed} | more)  # type: ignore[arg-type]


def untagged(age: float, **more: object) -> Candidate:
    pushed = NOW - age * DAY
    return Candidate(Digest.of(str(age).encode()), "", pushed, **{"arrived": pushed} | more)  # type: ignore[arg-type]


def patterns(*texts: str) -> list[NamePattern]:
    return [NamePattern.parse(text) for text in texts]


def kept(candidates: Sequence[Candidate], **policy: object) -> list[str]:
    """The tags that stay."""
    return [one.candidate.tag for one in decisions(candidates, **policy) if one.keeps]


def decisions(candidates: Sequence[Candidate], **policy: object) -> list[Decision]:
    return decide(Policy("one", patterns("**"), **policy), candidates, NOW, GRACE)  # type: ignore[arg-type]


def test_the_newest_stay_and_tags_of_one_image_count_once() -> None:
    candidates = [tag("a", 1, image="x"), tag("b", 2), tag("latest", 1, image="x"), tag("c", 3), tag("d", 4)]
    assert kept(candidates, keep=[Keep(newest=2)]) == ["a", "b", "latest"]
    assert kept(candidates, keep=[Keep(newest=9)]) == ["a", "b", "latest", "c", "d"]


def test_the_newest_of_some_tags_are_counted_among_these() -> None:
    candidates = [tag("v1", 3), tag("v2", 2), tag("main", 1), tag("v3", 1)]
    assert kept(candidates, keep=[Keep(newest=2, tags=patterns("v*"))]) == ["v2", "v3"]


def test_the_newest_by_version_are_not_the_newest_by_time() -> None:
    names = ["v1.10.0", "v1.9.1", "1.9", "v2.0.0-rc.1", "v2.0.0", "latest", "v0.1", "nightly-2024"]
    candidates = [tag(name, number + 1) for number, name in enumerate(reversed(names))]
    rule = Keep(newest=3, order="semver")
    assert set(kept(candidates, keep=[rule])) == {"v2.0.0", "v2.0.0-rc.1", "v1.10.0"}


def test_a_keep_rule_asks_for_all_that_it_says_and_one_of_several_rules_is_enough() -> None:
    candidates = [
        tag("v1", labels=frozenset({("keep", "yes")})),
        tag("v2"),
        tag("main", labels=frozenset({("keep", "no")}), signed=True),
        tag("old", pulled=NOW - 10 * DAY),
        tag("new", 3),
    ]
    assert kept(candidates, keep=[Keep(tags=patterns("v*"), labels=[("keep", None)])]) == ["v1"]
    assert kept(candidates, keep=[Keep(labels=[("keep", "no")])]) == ["main"]
    assert kept(candidates, keep=[Keep(signed=True), Keep(pulled_within=11 * DAY)]) == ["main", "old"]
    assert kept(candidates, keep=[Keep(pushed_within=4 * DAY), Keep(tags=patterns("/^v[0-9]$/"))]) == [
        "v1",
        "v2",
        "new",
    ]


def test_expired_tags_go_unless_a_rule_keeps_them_and_are_never_among_the_newest() -> None:
    policy: dict[str, object] = {
        "keep": [Keep(newest=1), Keep(signed=True)],
        "expire": [Expire(patterns("pr-*"), 14 * DAY)],
    }
    candidates = [tag("pr-3", 1), tag("pr-2", 20), tag("pr-1", 30, signed=True), tag("main", 50), tag("older", 60)]
    assert kept(candidates, **policy) == ["pr-3", "pr-1", "main"]


def test_without_keep_rules_only_what_expires_goes() -> None:
    candidates = [tag("main"), tag("pr-1", 20), tag("pr-2", 1)]
    assert kept(candidates, expire=[Expire(patterns("pr-*"), 14 * DAY)]) == ["main", "pr-2"]


def test_untagged_images_go_when_nobody_has_used_them_for_a_while() -> None:
    candidates = [untagged(8), untagged(9, pulled=NOW - DAY), untagged(10, signed=True), untagged(2)]
    found = decisions(candidates, keep=[Keep(signed=True), Keep(newest=5)], untagged_after=7 * DAY)
    assert [one.keeps for one in found] == [False, True, True, True]
    assert all(one.keeps for one in decisions(candidates, keep=[Keep(newest=1)])), "nothing is said of them"


def test_immutable_tags_and_what_was_just_pushed_stay_whatever_is_said() -> None:
    candidates = [tag("v1", immutable=True), tag("now", 0.01), tag("other")]
    policy: dict[str, object] = {"keep": [Keep(tags=patterns("none"))], "expire": [Expire(patterns("*"), DAY)]}
    assert kept(candidates, **policy) == ["v1", "now"]


def test_each_decision_names_its_rule() -> None:
    found = decisions(
        [
            *(tag("v1", immutable=True), tag("a", 1), tag("b", 2), tag("pr-1", 20), tag("pr-2", 2), tag("now", 0.01)),
            tag("old", arrived=NOW - 60),
        ],
        keep=[Keep(newest=1, tags=patterns("?"), pulled_within=None)],
        expire=[Expire(patterns("pr-*", "/^mr/"), 14 * DAY)],
    )
    assert [(one.candidate.tag, one.reason) for one in found] == [
        ("v1", "immutable"),
        ("a", "keep newest 1, tags ?"),
        ("b", "no rule keeps it"),
        ("pr-1", "expire pr-* /^mr/ after 14d"),
        ("pr-2", "not yet: expire pr-* /^mr/ after 14d"),
        ("now", "pushed within the grace period"),
        ("old", "copied here within the grace period"),
    ]
    rule = Keep(
        newest=3,
        order="semver",
        pulled_within=30 * DAY,
        pushed_within=90,
        labels=[("a", None), ("b", "1")],
        signed=True,
    )
    assert str(rule) == ("keep newest 3, by semver, pulled within 30d, pushed within 90s, label a, label b=1, signed")


def test_durations_are_told_as_people_write_them() -> None:
    assert [told(seconds) for seconds in (86400, 14 * DAY, 3600, 5400, 90, 0.5)] == [
        "1d",
        "14d",
        "1h",
        "90m",
        "90s",
        "0.5s",
    ]
