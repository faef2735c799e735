"""Values in a template: how Go's `fmt` prints them, what counts as empty, what their JSON is.

None is Go's nil; a dict a map, whose missing keys are nil; a `Record` a struct, whose missing fields are a mistake.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TypeGuard


class Record(dict[str, object]):
    """A struct: its fields in their order, and no others; those that it `may_lack` are nil if they are not there."""

    may_lack: Collection[str] = ()


class NilMap(dict[str, object]):
    """A map that is nil: empty, but null in JSON."""


class NilList(list[object]):
    """A list that is nil: empty, but null in JSON."""


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    """True for what can be counted through; text is none."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def truth(value: object) -> bool:
    """False for nil, false, 0 and what is empty; true for a struct."""
    return isinstance(value, Record) or bool(value)


def printed(value: object, *, inside: bool = False) -> str:
    """As `fmt.Print` has it; `inside` a list or map nil looks different."""
    if value is None:
        return "<nil>" if inside else "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Record):
        return "{" + " ".join(printed(item, inside=True) for item in value.values()) + "}"
    if isinstance(value, Mapping):
        items = sorted(value.items(), key=lambda item: str(item[0]))
        return "map[" + " ".join(f"{key}:{printed(item, inside=True)}" for key, item in items) + "]"
    if is_list(value):
        return "[" + " ".join(printed(item, inside=True) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def to_json(value: object) -> str:
    """As `encoding/json` has it: no spaces, a struct in its own order, a map by its keys."""
    return json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":"))


def _ordered(value: object) -> object:
    if isinstance(value, NilMap | NilList):
        return None
    if isinstance(value, Mapping):
        items = value.items() if isinstance(value, Record) else sorted(value.items(), key=lambda item: str(item[0]))
        return {str(key): _ordered(item) for key, item in items}
    return [_ordered(item) for item in value] if is_list(value) else value
