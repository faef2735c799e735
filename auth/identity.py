"""Who somebody is: the result of every login, whatever the credential was. Values only."""

from dataclasses import dataclass
from enum import StrEnum

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

    def __str__(self) -> str:
        """`alice`, `robot:ci`, `anonymous`."""
        if self.kind is Kind.USER:
            return self.name
        return f"robot:{self.name}" if self.kind is Kind.ROBOT else "anonymous"


ANONYMOUS = Identity(Kind.ANONYMOUS)
