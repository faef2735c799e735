"""The functions that a template may call: Go's own, and those that docker adds. Pure.

Each raises `CallFailed` for arguments that it does not take.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from registry.cli.gotemplate.errors import CallFailed
from registry.cli.gotemplate.values import is_list, printed, to_json, truth

_VERB = re.compile(r"%([-+# 0]*)(\d{0,3})(?:\.(\d{0,3}))?([a-zA-Z%])")


def index(value: object, *keys: object) -> object:
    """`index x 1 "a"`: x[1]["a"]; of a map what is not there is nothing, of a list it is an error."""
    for key in keys:
        if value is None or isinstance(value, Mapping):
            texts = not value or all(isinstance(item, str) for item in value.values())
            value = (value or {}).get(str(key), "" if texts else None)
        elif isinstance(key, int) and (is_list(value) or isinstance(value, str)):
            if not 0 <= key < len(value):
                raise CallFailed(f"index: there is no number {key} among {len(value)}")
            value = value[key]
        else:
            raise CallFailed(f"index: {printed(value)} has no {printed(key)}")
    return value


def cut(value: object, *bounds: object) -> object:
    """`slice x 1 3`: x[1:3]."""
    if not (isinstance(value, str) or is_list(value)):
        raise CallFailed(f"slice: {printed(value)} is no list and no text")
    if len(bounds) > 2:
        raise CallFailed("slice: only two bounds are read")
    numbers = [_number("slice", bound) for bound in bounds]
    low, high = (*numbers, *(0, len(value))[len(numbers) :])[:2]
    if not 0 <= low <= high <= len(value):
        raise CallFailed(f"slice: {low}:{high} is out of the {len(value)} that there are")
    return value[low:high]


def length(value: object) -> int:
    """`len x`."""
    if value is None or isinstance(value, int | float):
        raise CallFailed(f"len: {printed(value)} has no length")
    return len(value)  # type: ignore[arg-type]  # what is no number is text, a list or a map


def join(values: object, separator: object) -> str:
    """`join list ","`; nil is an empty list."""
    if values is not None and not is_list(values):
        raise CallFailed(f"join: {printed(values)} is no list")
    return str(separator).join(printed(value) for value in values or ())


def words(*values: object) -> str:
    """As `fmt.Sprint`: a space between two values neither of which is text."""
    found = ""
    for place, value in enumerate(values):
        if place and not isinstance(value, str) and not isinstance(values[place - 1], str):
            found += " "
        found += printed(value, inside=True)
    return found


def printf(form: object, *values: object) -> str:
    """As `fmt.Sprintf`, with the verbs `%v %s %d %q %t %f %x %%`, widths and precisions."""
    rest = list(values)

    def one(found: re.Match[str]) -> str:
        flags, width, precision, verb = found.groups()
        if verb == "%":
            return "%"
        if not rest:
            return f"%!{verb}(MISSING)"
        text = _verb(verb, rest.pop(0), int(precision) if precision else None)
        return (
            text.ljust(int(width or 0)) if "-" in flags else text.rjust(int(width or 0), "0" if "0" in flags else " ")
        )

    return _VERB.sub(one, _text("printf", form))


def _verb(verb: str, value: object, precision: int | None) -> str:
    if verb == "d" and isinstance(value, int):
        return str(value)
    if verb == "x" and isinstance(value, int):
        return f"{value:x}"
    if verb == "f" and isinstance(value, int | float):
        return f"{value:.{6 if precision is None else precision}f}"
    if verb == "q" and isinstance(value, str):
        return to_json(value)
    if verb in "vst":
        return printed(value, inside=True)[:precision]
    raise CallFailed(f"printf: %{verb} does not take {printed(value)}")


def same(first: object, *others: object) -> bool:
    """`eq a b c`: a is b or c."""
    if not others:
        raise CallFailed("eq: there is nothing to compare with")
    return any(type(first) is type(other) and first == other for other in others)


def less(first: object, second: object) -> bool:
    """`lt a b`."""
    if isinstance(first, str) and isinstance(second, str):
        return first < second
    if isinstance(first, int | float) and isinstance(second, int | float):
        return first < second
    raise CallFailed(f"{printed(first)} and {printed(second)} cannot be compared")


def first_that_is(wanted: bool) -> Callable[..., object]:
    """`or` and `and`: the first of the values that decides, or the last one."""

    def choose(first: object, *others: object) -> object:
        return next((value for value in (first, *others) if truth(value) is wanted), (first, *others)[-1])

    return choose


def pad(text: object, before: object, after: object) -> str:
    """`pad text 1 2`: with so many spaces before and after it; empty text stays so."""
    if not text:
        return ""
    return " " * _number("pad", before) + _text("pad", text) + " " * _number("pad", after)


def truncate(text: object, size: object) -> str:
    """`truncate text 12`: its beginning."""
    return _text("truncate", text)[: max(0, _number("truncate", size))]


def _split(text: object, separator: object) -> Sequence[str]:
    return _text("split", text).split(_text("split", separator)) if separator else list(_text("split", text))


def _text(function: str, value: object) -> str:
    if isinstance(value, str):
        return value
    raise CallFailed(f"{function}: {printed(value)} is no text")


def _number(function: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10_000:
        return value
    raise CallFailed(f"{function}: {printed(value)} is no number that fits")


FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "and": first_that_is(False),
    "eq": same,
    "ge": lambda first, second: not less(first, second),
    "gt": lambda first, second: less(second, first),
    "index": index,
    "join": join,
    "json": to_json,
    "le": lambda first, second: not less(second, first),
    "len": length,
    "lower": lambda text: _text("lower", text).lower(),
    "lt": less,
    "ne": lambda first, second: not same(first, second),
    "not": lambda value: not truth(value),
    "or": first_that_is(True),
    "pad": pad,
    "print": words,
    "printf": printf,
    "println": lambda *values: " ".join(printed(value, inside=True) for value in values) + "\n",
    "slice": cut,
    "split": _split,
    "title": lambda text: re.sub(r"\b[^\W\d_]", lambda letter: letter[0].upper(), _text("title", text)),
    "truncate": truncate,
    "upper": lambda text: _text("upper", text).upper(),
}
