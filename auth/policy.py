"""Rules: who may do what with which repositories. Pure; a policy never changes, another one takes its place.

Nothing is allowed but what a rule allows, and a rule that denies wins over all that allow. What `anonymous` may do,
everybody may. A robot has what its own scope says and what rules that name it say; a limited token of a user has what
the user has, as far as its scope goes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from auth.access import EVERYTHING, NONE, Action, Actions, granted, print_actions
from auth.errors import ScopeInvalid
from auth.identity import Identity, Kind
from auth.patterns import fixed_beginning, matches

_KINDS = ("user", "group", "robot")
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a rule is about: `user:NAME`, `group:NAME`, `robot:NAME`, `authenticated`, `anonymous`."""

    kind: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a subject. Raises `ScopeInvalid`."""
        kind, colon, name = text.partition(":")
        if text in ("authenticated", "anonymous"):
            return cls(text)
        if colon and kind in _KINDS and name:
            return cls(kind, name)
        raise ScopeInvalid(f"{text!r} is nobody; write user:NAME, group:NAME, robot:NAME, authenticated or anonymous")

    def __str__(self) -> str:
        """The form that `parse` reads."""
        return f"{self.kind}:{self.name}" if self.name else self.kind


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `where` says where it was written."""

    who: tuple[Subject, ...]
    repositories: tuple[str, ...]
    actions: Actions
    deny: bool = False
    where: str = ""

    def __str__(self) -> str:
        """In words, as `cargohold policy check` shows it."""
        who = ", ".join(map(str, self.who))
        verb = "may not" if self.deny else "may"
        return f"{who} {verb} {print_actions(self.actions)} on {', '.join(self.repositories)}"


@dataclass(frozen=True, slots=True)
class ImmutableTags:
    """Tags that stay what they are once they are there."""

    repositories: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether an action is allowed, by which rule, and in words why."""

    allowed: bool
    rule: Rule | None
    reason: str


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules together with the groups that they speak of."""

    rules: tuple[Rule, ...]
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    immutable_tags: tuple[ImmutableTags, ...] = ()
    read_only: bool = False
    _decided: dict[tuple[Identity, str], Actions] = field(default_factory=dict, repr=False, compare=False)

    def decide(self, identity: Identity, name: str) -> Actions:
        """What somebody may do with a repository, whether it exists or not."""
        known = self._decided.get((identity, name))
        if known is None:
            known = self._decide(identity, name)
            if len(self._decided) >= _REMEMBERED:
                self._decided.clear()
            self._decided[identity, name] = known
        return known

    def explain(self, identity: Identity, action: Action, name: str) -> Explanation:
        """Which rule decides whether somebody may do something with a repository."""
        fitting = [rule for rule in self.rules if action in _meant(rule) and _is_about(rule, name, identity)]
        for rule in fitting:
            if rule.deny and self._concerns(rule, identity):
                return Explanation(False, rule, f"denied by {rule}")
        in_scope = identity.scope is not None and action in _scope(identity, name)
        if identity.kind is Kind.ROBOT and in_scope:
            return Explanation(True, None, "allowed by the robot's own scope")
        reason = "no rule allows it"
        for rule in fitting:
            if rule.deny or not self._concerns(rule, identity):
                continue
            if in_scope or not self._is_limited(rule, identity):
                return Explanation(True, rule, f"allowed by {rule}")
            reason = f"outside the scope of the token, although {rule}"
        return Explanation(False, None, reason)

    def may_see_below(self, identity: Identity, namespace: str) -> bool:
        """False if no repository whose name begins with `namespace` (empty, or ending in `/`) can be pulled."""
        values = _values(identity)
        patterns = [
            pattern
            for rule in self.rules
            if not rule.deny and Action.PULL in _meant(rule) and self._concerns(rule, identity)
            for pattern in rule.repositories
        ]
        patterns += [grant.pattern for grant in identity.scope or () if Action.PULL in _with_admin(grant.actions)]
        beginnings = (fixed_beginning(pattern, values) for pattern in patterns)
        return any(
            beginning.startswith(namespace) or namespace.startswith(beginning)
            for beginning in beginnings
            if beginning is not None
        )

    def may_everywhere(self, action: Action, identity: Identity) -> bool:
        """True if somebody may do this with whatever repositories there are."""
        rules = [rule for rule in self.rules if self._concerns(rule, identity)]
        if any(rule.deny and action in rule.actions for rule in rules):
            return False
        everywhere = any(
            grant.pattern == "**" and action in _with_admin(grant.actions) for grant in identity.scope or ()
        )
        return (everywhere and identity.kind is Kind.ROBOT) or any(
            not rule.deny
            and "**" in rule.repositories
            and action in _meant(rule)
            and (everywhere or not self._is_limited(rule, identity))
            for rule in rules
        )

    def immutable_in(self, name: str) -> Callable[[str], bool] | None:
        """Which tags of a repository, once they are there, must not be moved or removed; None if none can be."""
        patterns = [
            pattern
            for entry in self.immutable_tags
            if any(matches(each, name) for each in entry.repositories)
            for pattern in entry.tags
        ]
        return (lambda tag: any(matches(pattern, tag) for pattern in patterns)) if patterns else None

    def named_groups(self) -> frozenset[str]:
        """The groups that rules are about."""
        return frozenset(subject.name for rule in self.rules for subject in rule.who if subject.kind == "group")

    def admits_anonymous(self) -> bool:
        """True if somebody who has not logged in may do anything at all."""
        return any(not rule.deny and _names(rule, "anonymous") for rule in self.rules)

    def _decide(self, identity: Identity, name: str) -> Actions:
        own = _scope(identity, name) if identity.scope is not None else NONE
        allowed = set(own) if identity.kind is Kind.ROBOT else set()
        denied: set[Action] = set()
        for rule in self._fitting(identity, name):
            if rule.deny:
                denied |= rule.actions
            elif self._is_limited(rule, identity):
                allowed |= _meant(rule) & own
            else:
                allowed |= _meant(rule)
        return frozenset(allowed - denied)

    def _fitting(self, identity: Identity, name: str) -> Iterator[Rule]:
        return (rule for rule in self.rules if self._concerns(rule, identity) and _is_about(rule, name, identity))

    def _concerns(self, rule: Rule, identity: Identity) -> bool:
        return any(self._is_meant(subject, identity, deny=rule.deny) for subject in rule.who)

    def _is_meant(self, subject: Subject, identity: Identity, *, deny: bool) -> bool:
        match subject.kind:
            case "anonymous":
                return identity.kind is Kind.ANONYMOUS or not deny
            case "authenticated":
                # a robot has no more than its scope, so what all users may it may not; what all may not, it may not
                return identity.kind is Kind.USER or (deny and identity.kind is Kind.ROBOT)
            case "robot":
                return identity.kind is Kind.ROBOT and identity.name == subject.name
            case "user":
                return identity.kind is Kind.USER and identity.name == subject.name
            case _:
                members = self.groups.get(subject.name, frozenset())
                in_group = subject.name in identity.groups or identity.name in members
                return identity.kind is Kind.USER and in_group

    @staticmethod
    def _is_limited(rule: Rule, identity: Identity) -> bool:
        """True if of this rule only what lies in the token's scope is the token's."""
        return identity.kind is Kind.USER and identity.scope is not None and not _names(rule, "anonymous")


DEFAULT_RULES = (Rule((Subject("authenticated"),), ("**",), EVERYTHING - {Action.ADMIN}, where="the default"),)
"""Without any rule: whoever has logged in as a user may do everything but administer."""
OPEN_RULES = (Rule((Subject("anonymous"),), ("**",), EVERYTHING, where="no login is asked for"),)
"""Without authentication."""


def _meant(rule: Rule) -> Actions:
    """Who may administer may do everything; who may not administer may still do the rest."""
    return rule.actions if rule.deny else _with_admin(rule.actions)


def _with_admin(actions: Actions) -> Actions:
    return EVERYTHING if Action.ADMIN in actions else actions


def _names(rule: Rule, kind: str) -> bool:
    return any(subject.kind == kind for subject in rule.who)


def _is_about(rule: Rule, name: str, identity: Identity) -> bool:
    return any(matches(pattern, name, _values(identity)) for pattern in rule.repositories)


def _scope(identity: Identity, name: str) -> Actions:
    return _with_admin(granted(identity.scope or (), name, _values(identity)))


def _values(identity: Identity) -> Mapping[str, str]:
    return {"user": identity.name} if identity.kind is Kind.USER else {}
