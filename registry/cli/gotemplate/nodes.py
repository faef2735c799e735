"""What a template is made of, once it is read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Union

Operand = Union["Literal", "Path", "Call", "Group"]
Node = Union["Text", "Output", "If", "Loop", "With"]


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, boolean or nil."""

    value: object
    at: int


@dataclass(frozen=True, slots=True)
class Path:
    """Fields of the current value (`.A.B`), or of a variable (`$x.A`, `$.A`)."""

    variable: str | None
    fields: Sequence[str]
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """The name of a function; its arguments are the operands that follow."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Group:
    """A pipeline in parentheses, and fields of what it gives."""

    pipeline: "Pipeline"
    fields: Sequence[str]
    at: int


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each of which is given what the one before makes. The names are variables that become the last value;
    `declares` them anew, or changes them.
    """

    commands: Sequence[Sequence[Operand]]
    names: Sequence[str] = ()
    declares: bool = True
    at: int = 0


@dataclass(frozen=True, slots=True)
class Text:
    """What stands outside of actions."""

    text: str


@dataclass(frozen=True, slots=True)
class Output:
    """What a pipeline makes; nothing if it sets a variable."""

    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class If:
    """`{{if}}`, with its `{{else}}`."""

    pipeline: Pipeline
    body: Sequence[Node]
    otherwise: Sequence[Node] = field(default=())


@dataclass(frozen=True, slots=True)
class Loop:
    """`{{range}}`; `otherwise` is for nothing to go through."""

    pipeline: Pipeline
    body: Sequence[Node]
    otherwise: Sequence[Node] = field(default=())


@dataclass(frozen=True, slots=True)
class With:
    """`{{with}}`: the body has another current value."""

    pipeline: Pipeline
    body: Sequence[Node]
    otherwise: Sequence[Node] = field(default=())
