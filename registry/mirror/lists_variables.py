"""Variables in names of images, as a shell, docker and compose write them: `$A`, `${A}`, `${A:-else}`. Pure.

Source: compose-spec, "Interpolation"; Dockerfile reference, "Environment replacement".
"""

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-+?]")
_DEPTH = 20


class Unresolved(Exception):
    """A variable has no value; the message names it."""


def fill(text: str, values: Mapping[str, str], escaped: str, depth: int = 0) -> str:
    """The text with its variables' values; `escaped` stands for a dollar sign. Raises `Unresolved`."""
    if depth > _DEPTH:
        raise Unresolved("variables in defaults of variables go too deep")
    filled, place = "", 0
    while place < len(text):
        name = _NAME.match(text, place + 1) if text[place] == "$" else None
        if text.startswith(escaped, place):
            filled, place = filled + "$", place + len(escaped)
        elif text.startswith("${", place):
            end = _closing(text, place)
            filled, place = filled + _braced(text[place + 2 : end], values, escaped, depth), end + 1
        elif name is not None:
            filled, place = filled + _value(name[0], values), name.end()
        else:
            filled, place = filled + text[place], place + 1
    return filled


def _closing(text: str, start: int) -> int:
    """The place of the brace that closes the one after `start`."""
    depth = 0
    for place in range(start + 1, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place
    raise Unresolved(f"{text[start:]!r} is not closed")


def _braced(inner: str, values: Mapping[str, str], escaped: str, depth: int) -> str:
    name = _NAME.match(inner)
    operator = _OPERATOR.match(inner, name.end()) if name else None
    if name is None or (operator is None and name.end() != len(inner)):
        raise Unresolved(f"${{{inner}}} is nothing that is known here")
    if operator is None:
        return _value(name[0], values)
    value, other = values.get(name[0]), inner[operator.end() :]
    if operator[0].startswith(":"):
        value = value or None
    if operator[0].endswith("+"):
        return "" if value is None else fill(other, values, escaped, depth + 1)
    if value is not None:
        return value
    if operator[0].endswith("-"):
        return fill(other, values, escaped, depth + 1)
    raise Unresolved(f"{name[0]} has no value" + (f": {other}" if other else ""))


def _value(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise Unresolved(f"{name} has no value")
    return values[name]
