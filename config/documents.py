"""Any YAML that people write for other programs, as plain values with the line of each word.

Unlike `positions` it takes what YAML allows: several documents, aliases, merged maps, tags of any kind. Values that an
alias repeats are the same objects, so that a small text never becomes a large one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import yaml

from config.positions import YamlError

_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"
_NOTHING = (_NULL, "!reset")
"""The latter is how compose takes back what another file says."""


@dataclass(frozen=True, slots=True)
class Word:
    """A scalar as it is written, and its line, from 1; empty if it is null."""

    text: str
    line: int


Value: TypeAlias = "Mapping[str, Value] | Sequence[Value] | Word"


def read_documents(text: str) -> list[Value]:
    """All documents in a text, but empty ones. Raises `YamlError`."""
    try:
        nodes = [node for node in yaml.compose_all(text, yaml.SafeLoader) if node is not None]
        return [_value(node, {}) for node in nodes if node.tag != _NULL]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise YamlError(f"this is not YAML: {error.problem or error.context}", line, column) from error
    except RecursionError as error:
        raise YamlError("this goes too deep") from error
    except yaml.YAMLError as error:
        raise YamlError(f"this is not YAML: {error}") from error


def _value(node: yaml.Node, known: dict[int, Value]) -> Value:
    if id(node) in known:
        return known[id(node)]
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Value] = {}
        known[id(node)] = mapping
        _fill(mapping, node, known)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        items: list[Value] = []
        known[id(node)] = items
        items += [_value(item, known) for item in node.value]
        return items
    text = "" if node.tag in _NOTHING else str(node.value)
    return known.setdefault(id(node), Word(text, node.start_mark.line + 1))


def _fill(mapping: dict[str, Value], node: yaml.MappingNode, known: dict[int, Value]) -> None:
    """The pairs of a map; what it merges in counts only where it says nothing itself."""
    merged: list[Value] = []
    for key, value in node.value:
        if key.tag == _MERGE:
            found = _value(value, known)
            merged += found if isinstance(found, list) else [found]
        elif isinstance(key, yaml.ScalarNode):
            mapping[key.value] = _value(value, known)
    for other in merged:
        if isinstance(other, Mapping):
            for name, value in other.items():
                mapping.setdefault(name, value)
