"""Who somebody is: the result of every login, whatever the credential was. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from auth.access import Grant


class Kind(StrEnum):
    """What somebody is. A robot is never mistaken for the user of the same name."""

    ANONYMOUS = "anonymous"
    USER = "user"
    ROBOT = "robot"


@dataclass(frozen=True, slots=True)
class Credential:
    """What somebody has shown, without the secret.

    `kind` is `password`, `token`, `ldap` or `issuer`; `id` says which one (a token's id, an issuer's name); `stamp`
    changes when the secret does, so that what was derived from the old one can be refused.
    """

    kind: str
    id: str = ""
    stamp: str = ""

    def __str__(self) -> str:
        """How the audit log names it."""
        return f"{self.kind}:{self.id}" if self.id else self.kind


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody. `scope` limits a user to what it names, and is all that a robot may do; None: no limit."""

    kind: Kind
    name: str = ""
    groups: frozenset[str] = frozenset()
    scope: tuple[Grant, ...] | None = None
    credential: Credential = Credential("none")

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """What `as_plain` has written. Raises `KeyError`, `TypeError` or `ValueError` if it has not."""
        scope, credential, groups = data["scope"], data["credential"], data["groups"]
        if not isinstance(groups, list) or not isinstance(credential, list) or not isinstance(scope, list | None):
            raise TypeError("an identity has lists of groups, of scopes and of what its credential is")
        if not all(isinstance(text, str) for text in (data["name"], *groups, *credential, *(scope or ()))):
            raise TypeError("an identity is written in words")
        grants = None if scope is None else tuple(Grant.parse(text) for text in scope)
        return cls(Kind(data["kind"]), data["name"], frozenset(groups), grants, Credential(*credential))

    def as_plain(self) -> dict[str, object]:
        """In plain values, for JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "groups": sorted(self.groups),
            "scope": None if self.scope is None else [str(grant) for grant in self.scope],
            "credential": [self.credential.kind, self.credential.id, self.credential.stamp],
        }

    def __str__(self) -> str:
        """`alice`, `robot:ci`, `anonymous`."""
        if self.kind is Kind.USER:
            return self.name
        return f"robot:{self.name}" if self.kind is Kind.ROBOT else "anonymous"


ANONYMOUS = Identity(Kind.ANONYMOUS)
