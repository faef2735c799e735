"""What fsck can find, and what can be done about each: words for people, and repairs that lose nothing. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from registry.content.digest import Digest

Kind = Literal[
    "broken link",
    "broken tag",
    "broken entry",
    "tag without manifest",
    "history without tag",
    "manifest without bytes",
    "damaged manifest",
    "missing manifest",
    "incomplete index",
    "missing blob",
    "missing entry",
    "wrong size",
    "link without bytes",
    "stale entry",
    "stray file",
]


@dataclass(frozen=True, slots=True)
class Write:
    """Write a link again, if it is still of this `version` and, where `needs` is given, the bytes of that are right."""

    key: str
    version: str
    data: bytes
    needs: Digest | None = None


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove what says nothing, if it is still of this `version`."""

    key: str
    version: str


@dataclass(frozen=True, slots=True)
class Collect:
    """Remove what belongs to a digest that nobody needs there, as garbage collection does."""

    key: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Reindex:
    """Build the referrers of the repository again."""


Repair = Write | Remove | Collect | Reindex


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be: at which key, in which repository, what it is, which images (as
    `repository:tag@digest`) it hits, what to do; and how it can be repaired without losing anything.
    """

    kind: Kind
    key: str
    repository: str
    what: str
    advice: str
    images: Sequence[str] = ()
    repair: Repair | None = field(default=None, compare=False)

    @property
    def is_wrong(self) -> bool:
        """False for what may well be meant so."""
        return self.kind != "incomplete index"

    @property
    def identity(self) -> tuple[str, str, str]:
        """What two looks have to agree in for this to be the same finding."""
        return self.kind, self.key, self.what
