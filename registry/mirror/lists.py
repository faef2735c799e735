"""Images that a file names: what every reader of such files finds, and how it is called. Pure.

A reader is given text, or YAML as values whose words know their line; it never fails on what it does not understand,
but says so.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from registry.content.errors import ContentError
from registry.content.image_references import LATEST, ImageReference
from registry.mirror.lists_variables import Unresolved


class Written(Protocol):
    """A word of a file and its line, from 1."""

    @property
    def text(self) -> str:
        """As it is written."""
        ...

    @property
    def line(self) -> int:
        """Where."""
        ...


Node: TypeAlias = "Mapping[str, Node] | Sequence[Node] | Written"


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(slots=True)
class Named:
    """An image, where it is named, and whether it is only `guessed` that this is one."""

    reference: ImageReference
    places: list[Place] = field(default_factory=list)
    guessed: bool = True


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that people should know about a line."""

    place: Place
    message: str


@dataclass(slots=True)
class Images:
    """What was found in some files, each image once, in the order in which they come; `as_docker` completes names as
    docker does.
    """

    as_docker: bool = True
    named: dict[str, Named] = field(default_factory=dict)
    warnings: list[Warned] = field(default_factory=list)

    def add(self, place: Place, text: str, *, guessed: bool = False) -> None:
        """Take in an image that is named somewhere."""
        try:
            reference = ImageReference.parse(text)
        except ContentError as error:
            if not guessed:
                self.warn(place, f"{text!r} is no image: {error.message}")
            return
        if self.as_docker:
            reference = completed(reference)
        found = self.named.setdefault(str(reference), Named(reference))
        found.guessed = found.guessed and guessed
        if place not in found.places:
            found.places.append(place)

    def warn(self, place: Place, message: str) -> None:
        """Take in a warning."""
        self.warnings.append(Warned(place, message))

    def unresolved(self, place: Place, text: str, error: Unresolved) -> None:
        """Warn of a name that cannot be told."""
        self.warn(place, f"{text!r} cannot be told: {error}")


def completed(reference: ImageReference) -> ImageReference:
    """What docker takes it for, `:latest` included."""
    full = reference.as_docker()
    if full.tag or full.digest:
        return full
    return ImageReference(full.host, full.name, LATEST)


def member(node: "Node | None", *path: str) -> "Node | None":
    """What lies at a path of names; None if nothing does."""
    for name in path:
        if not isinstance(node, Mapping):
            return None
        node = node.get(name)
    return node


def items(node: "Node | None") -> Sequence[Node]:
    """The items of a list; none of anything else."""
    return node if isinstance(node, Sequence) else ()


def pairs(node: "Node | None") -> Iterable[tuple[str, Node]]:
    """The names and values of a map; none of anything else."""
    return node.items() if isinstance(node, Mapping) else ()


def word(node: "Node | None") -> Written | None:
    """A word that is not empty."""
    if node is None or isinstance(node, Mapping | Sequence) or not node.text:
        return None
    return node
