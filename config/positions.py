"""A YAML document as plain values, with the line and column of each key and value.

Stricter than YAML: one document, text keys, no key twice, no aliases. A settings file needs none of that, and each
hides mistakes.
"""

from typing import Any

import yaml

Location = tuple[str | int, ...]


class YamlError(Exception):
    """The text is not what a settings file may be; `line` and `column` count from 1."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


class Document:
    """The values of a YAML text, in `data`. Raises `YamlError`."""

    def __init__(self, text: str) -> None:
        self._keys: dict[Location, tuple[int, int]] = {}
        self._values: dict[Location, tuple[int, int]] = {}
        self._seen: set[int] = set()
        try:
            self._loader = yaml.SafeLoader(text)
            node = self._loader.get_single_node()
            self.data: Any = None if node is None else self._value(node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            raise YamlError(f"this is not YAML: {_problem(error)}", line, column) from error
        except RecursionError as error:
            raise YamlError("this goes too deep for a settings file", self._loader.line + 1) from error
        except yaml.YAMLError as error:
            raise YamlError(f"this is not YAML: {error}") from error

    def position(self, path: Location, *, of_name: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of the value or key at `path`, or of the nearest thing above it."""
        table = self._keys if of_name else self._values
        while path and path not in table:
            path = path[:-1]
        return table.get(path, (1, 1))

    def _value(self, node: yaml.Node, path: Location) -> Any:
        if id(node) in self._seen:
            raise _error("aliases are not allowed here: write the value out", node)
        self._seen.add(id(node))
        self._values[path] = _start(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        try:
            return self._loader.construct_object(node)
        except ValueError as error:  # a date that no calendar has
            raise _error(f"this value cannot be read: {error}", node) from error

    def _mapping(self, node: yaml.MappingNode, path: Location) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _error("a name must be plain text", key)
            if key.value in found:
                raise _error(f"{key.value!r} is given twice in this section", key)
            self._keys[(*path, key.value)] = _start(key)
            found[key.value] = self._value(value, (*path, key.value))
        return found


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What YAML says, without what it quotes where that may be a secret: a password that begins with `*`."""
    problem = error.problem or error.context or ""
    if any(word in problem for word in ("alias", "anchor", "tag")):
        return f"{problem.partition(' ' + chr(39))[0]}; put a value that begins with *, & or ! in quotes"
    return problem


def _start(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _error(message: str, node: yaml.Node) -> YamlError:
    return YamlError(message, *_start(node))
