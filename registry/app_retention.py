"""Retention policies out of the settings. Part of the composition root."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from auth.errors import ScopeInvalid
from auth.patterns import check_repositories, check_tags
from config.checks import Problem
from config.positions import Location
from config.retention import KeepSettings, RetentionPolicySettings
from config.settings import Settings
from registry.cleanup.filters import FilterInvalid, parse_label
from registry.cleanup.retention import Expire, Keep, Policy
from registry.name_patterns import NamePattern, PatternInvalid


def retention_policies(settings: Settings) -> tuple[Policy, ...]:
    """The policies, in the order in which they are asked."""
    return tuple(
        Policy(
            one.name,
            _patterns(one.repositories),
            [_keep(rule) for rule in one.keep],
            [Expire(_patterns(rule.tags), rule.after) for rule in one.expire],
            one.untagged_after,
            one.enabled,
        )
        for one in settings.retention.policies
    )


def retention_problems(settings: Settings) -> Iterator[Problem]:
    """What no policy can be made of, and what cannot have been meant."""
    before: list[RetentionPolicySettings] = []
    for number, policy in enumerate(settings.retention.policies):
        here: Location = ("retention", "policies", number)
        if any(policy.name == other.name for other in before):
            yield Problem((*here, "name"), f"{policy.name} is the name of another policy already")
        everything = next((other.name for other in before if "**" in other.repositories), None)
        if everything is not None:
            yield Problem(here, f"is never asked: policy {everything} before it takes every repository")
        if not policy.keep and not policy.expire and policy.untagged_after is None:
            yield Problem(here, "says nothing of what stays or goes: add keep, expire or untagged_after")
        yield from _words(here, policy)
        before.append(policy)


def _words(here: Location, policy: RetentionPolicySettings) -> Iterator[Problem]:
    for pattern in policy.repositories:
        yield from _problem((*here, "repositories"), partial(_checked, pattern, check_repositories))
    for number, rule in enumerate(policy.keep):
        where: Location = (*here, "keep", number)
        if rule == KeepSettings(order=rule.order):
            yield Problem(where, "says nothing: add newest, tags, pulled_within, pushed_within, labels or signed")
        elif rule.order == "semver" and rule.newest is None:
            yield Problem((*where, "order"), "orders nothing without newest")
        for text in rule.tags:
            yield from _problem((*where, "tags"), partial(_checked, text, check_tags))
        for text in rule.labels:
            yield from _problem((*where, "labels"), partial(parse_label, text))
    for number, expire in enumerate(policy.expire):
        for text in expire.tags:
            yield from _problem((*here, "expire", number, "tags"), partial(_checked, text, check_tags))


def _checked(text: str, check: Callable[[str], str]) -> None:
    """What fits no name keeps nothing that it seems to keep. Raises `PatternInvalid`, `ScopeInvalid`."""
    if not NamePattern.parse(text).is_expression:
        check(text)


def _problem(path: Location, build: Callable[[], object]) -> Iterator[Problem]:
    try:
        build()
    except (FilterInvalid, PatternInvalid, ScopeInvalid) as error:
        yield Problem(path, str(error))


def _keep(rule: KeepSettings) -> Keep:
    return Keep(
        _patterns(rule.tags),
        rule.newest,
        rule.order,
        rule.pulled_within,
        rule.pushed_within,
        [parse_label(text) for text in rule.labels],
        rule.signed,
    )


def _patterns(texts: Sequence[str]) -> list[NamePattern]:
    return [NamePattern.parse(text) for text in texts]
