"""A template that was read, and filling it in."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import signature

from registry.cli.gotemplate.errors import CallFailed, TemplateFailed, TemplateInvalid
from registry.cli.gotemplate.functions import FUNCTIONS
from registry.cli.gotemplate.nodes import Call, Group, If, Literal, Loop, Node, Operand, Output, Path, Pipeline, Text
from registry.cli.gotemplate.parser import Parser
from registry.cli.gotemplate.values import Record, is_list, printed, truth

_DECIDES = {"and": False, "or": True}
_LEAVE_NAMES = ("json", "join", "split", "title", "lower", "upper", "pad", "truncate", "slice")


def _same_text(text: object, *_: object) -> object:
    return text


def parse(text: str) -> "Template":
    """Read a template. Raises `TemplateInvalid`."""
    return Template(text, Parser(text, FUNCTIONS).parse())


@dataclass(slots=True)
class _Scope:
    """The current value, and the variables, each in a box so that an inner scope can change it."""

    dot: object
    variables: Mapping[str, list[object]]

    def inner(self, dot: object, **more: object) -> "_Scope":
        return _Scope(dot, {**self.variables, **{name: [value] for name, value in more.items()}})


@dataclass(frozen=True, slots=True)
class Template:
    """A template; the same for any number of values."""

    text: str
    nodes: Sequence[Node]
    functions: Mapping[str, Callable[..., object]] = field(default_factory=lambda: FUNCTIONS)

    def head(self, names: Record) -> str:
        """What it makes of the names of the fields, for the first line of a table: functions leave them as they are."""
        return replace(self, functions={**FUNCTIONS, **dict.fromkeys(_LEAVE_NAMES, _same_text)}).render(names)

    def render(self, value: object) -> str:
        """The text that it makes of a value. Raises `TemplateInvalid` for a field that there never is, and
        `TemplateFailed` for what this value does not have.
        """
        return "".join(self._all(self.nodes, _Scope(value, {"$": [value]})))

    def check(self, fields: Collection[str]) -> None:
        """Raise `TemplateInvalid` if it asks the value itself for a field that is none of these."""
        for node in self.nodes:
            for path in _outer_paths(node):
                if path.fields and path.fields[0] not in fields:
                    raise self._no_field(path.fields[0], fields, path.at)

    def _all(self, nodes: Sequence[Node], scope: _Scope) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, Text):
                yield node.text
            elif isinstance(node, Output):
                value = self._value(node.pipeline, scope)
                if node.pipeline.names:
                    self._set(node.pipeline, value, scope)
                else:
                    yield printed(value)
            elif isinstance(node, Loop):
                yield from self._loop(node, scope)
            else:
                value = self._value(node.pipeline, scope)
                inner = scope.inner(scope.dot if isinstance(node, If) else value)
                self._set(node.pipeline, value, inner)
                if truth(value):
                    yield from self._all(node.body, inner)
                else:
                    inner.dot = scope.dot
                    yield from self._all(node.otherwise, inner)

    def _loop(self, node: Loop, scope: _Scope) -> Iterator[str]:
        value = self._value(node.pipeline, scope)
        if isinstance(value, Mapping):
            items: list[tuple[object, object]] = sorted(value.items(), key=lambda item: str(item[0]))
        elif is_list(value):
            items = list(enumerate(value))
        elif value is None:
            items = []
        else:
            raise TemplateFailed(f"range: {printed(value)} is no list", self.text, node.pipeline.at)
        for key, item in items:
            named = dict(zip(reversed(node.pipeline.names), (item, key), strict=False))
            yield from self._all(node.body, scope.inner(item, **named))
        if not items:
            yield from self._all(node.otherwise, scope.inner(scope.dot))

    def _set(self, pipeline: Pipeline, value: object, scope: _Scope) -> None:
        for name in pipeline.names:
            if pipeline.declares:
                scope.variables = {**scope.variables, name: [value]}
            else:
                scope.variables[name][0] = value

    def _value(self, pipeline: Pipeline, scope: _Scope) -> object:
        value: object = None
        for place, command in enumerate(pipeline.commands):
            value = self._command(command, scope, (value,) if place else ())
        return value

    def _command(self, command: Sequence[Operand], scope: _Scope, piped: tuple[object, ...]) -> object:
        first, *rest = command
        if not isinstance(first, Call):
            return self._operand(first, scope)
        function = self.functions[first.name]
        arguments = self._arguments(first.name, rest, scope, piped)
        try:
            signature(function).bind(*arguments)
        except TypeError as error:
            raise TemplateInvalid(
                f"{first.name} does not take {len(arguments)} arguments", self.text, first.at
            ) from error
        try:
            return function(*arguments)
        except CallFailed as error:
            raise TemplateFailed(str(error), self.text, first.at) from error

    def _arguments(
        self, name: str, operands: Sequence[Operand], scope: _Scope, piped: Sequence[object]
    ) -> Sequence[object]:
        """Of `and` and `or` those behind the one that decides are not asked for, as in Go."""
        found: list[object] = []
        for operand in operands:
            found.append(self._operand(operand, scope))
            if name in _DECIDES and truth(found[-1]) is _DECIDES[name]:
                return found
        return [*found, *piped]

    def _operand(self, operand: Operand, scope: _Scope) -> object:
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Call):
            return self._command([operand], scope, ())
        if isinstance(operand, Group):
            value = self._value(operand.pipeline, scope)
        else:
            value = scope.dot if operand.variable is None else scope.variables[operand.variable][0]
        for name in operand.fields:
            value = self._field(value, name, operand.at)
        return value

    def _field(self, value: object, name: str, at: int) -> object:
        if isinstance(value, Record) and name not in value and name not in value.may_lack:
            raise self._no_field(name, value, at)
        if value is not None and not isinstance(value, Mapping):
            raise TemplateFailed(f"{printed(value)} has no field .{name}", self.text, at)
        return (value or {}).get(name)

    def _no_field(self, name: str, fields: Collection[str], at: int) -> TemplateInvalid:
        known = " ".join(f".{field}" for field in fields)
        return TemplateInvalid(f"there is no field .{name} (there are {known})", self.text, at)


def _outer_paths(node: Node) -> Iterator[Path]:
    """The paths of a node that begin at the value that the template is given."""
    if isinstance(node, Text):
        return
    yield from _paths(node.pipeline)
    if isinstance(node, If):
        for inner in (*node.body, *node.otherwise):
            yield from _outer_paths(inner)


def _paths(pipeline: Pipeline) -> Iterator[Path]:
    for operand in (operand for command in pipeline.commands for operand in command):
        if isinstance(operand, Path) and operand.variable in (None, "$"):
            yield operand
        elif isinstance(operand, Group):
            yield from _paths(operand.pipeline)
