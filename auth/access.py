"""Actions, scopes and grants: the grammar of docker's token authentication, parsed once and printed one way. Pure.

Source: distribution, "Token Scope Documentation". `repository:team/app:pull,push`; several are parted by spaces.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from auth.errors import ScopeInvalid
from auth.patterns import check_pattern, matches


class Action(StrEnum):
    """What can be done with a repository, in the order in which it is printed."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    ADMIN = "admin"


Actions = frozenset[Action]
NONE: Actions = frozenset()
EVERYTHING: Actions = frozenset(Action)
_PER_SCOPE_MAX = 100
_TYPE = re.compile(r"([a-z0-9]+)(?:\(([a-z0-9]+)\))?")
_LONGEST = 4096
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LONGEST_NAME = 255


def is_repository_name(text: str) -> bool:
    """True if the text fits the grammar of repository names (distribution-spec, "Pulling manifests")."""
    return len(text) <= _LONGEST_NAME and _REPOSITORY.fullmatch(text) is not None


def parse_actions(words: Iterable[str]) -> Actions:
    """Actions by their names; `*` is all. Raises `ScopeInvalid`."""
    found: set[Action] = set()
    for word in words:
        try:
            found |= EVERYTHING if word == "*" else {Action(word)}
        except ValueError as error:
            raise ScopeInvalid(f"{word!r} is not an action; there are pull, push, delete, admin and *") from error
    return frozenset(found)


def print_actions(actions: Iterable[Action]) -> str:
    """`pull,push`."""
    given = frozenset(actions)
    return ",".join(action for action in Action if action in given)


@dataclass(frozen=True, slots=True)
class ResourceScope:
    """What a client asks for: one resource and the actions as the client wrote them; what we don't know is kept out of
    every grant. `kind` is `repository` or `registry`, `resource_class` is empty or, say, `plugin`.
    """

    kind: str
    resource_class: str
    name: str
    actions: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one scope. The name may hold colons (a host with a port). Raises `ScopeInvalid`."""
        kind, colon, rest = text.partition(":")
        name, second, actions = rest.rpartition(":")
        found = _TYPE.fullmatch(kind)
        if not colon or not second or not name or found is None or len(text) > _LONGEST:
            raise ScopeInvalid(f"{text[:100]!r} is not a scope; write it as repository:NAME:pull,push")
        return cls(found[1], found[2] or "", name, tuple(word for word in actions.split(",") if word))

    @property
    def wanted(self) -> Actions:
        """The actions on a repository that are asked for, `*` taken as all."""
        return parse_actions(word for word in self.actions if word == "*" or word in Action.__members__.values())


def parse_scopes(texts: Iterable[str]) -> list[ResourceScope]:
    """The scopes of all `scope` parameters, each of which may hold several. Raises `ScopeInvalid`."""
    scopes = [ResourceScope.parse(part) for text in texts for part in text.split()]
    if len(scopes) > _PER_SCOPE_MAX:
        raise ScopeInvalid(f"{len(scopes)} scopes are too many for one token; ask for {_PER_SCOPE_MAX} at most")
    return scopes


@dataclass(frozen=True, slots=True)
class Grant:
    """Actions on all repositories that fit a pattern: what a robot may do, and what a personal token is limited to."""

    pattern: str
    actions: Actions

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `team/*:pull,push`. Raises `ScopeInvalid`."""
        pattern, colon, words = text.strip().rpartition(":")
        if not colon or not words:
            raise ScopeInvalid(f"{text!r} says no actions; write it as 'team/*:pull,push'")
        return cls(check_pattern(pattern), parse_actions(word.strip() for word in words.split(",")))

    def __str__(self) -> str:
        """The form that `parse` reads."""
        return f"{self.pattern}:{print_actions(self.actions)}"


def granted(grants: Iterable[Grant], name: str, values: Mapping[str, str] | None = None) -> Actions:
    """What the grants allow on one repository, all taken together."""
    found: set[Action] = set()
    for grant in grants:
        if not grant.actions <= found and matches(grant.pattern, name, values):
            found |= grant.actions
    return frozenset(found)
