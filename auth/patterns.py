"""Globs over names that have slashes: `*` stays within one component, `**` crosses them. Pure.

`team/*` matches `team/app`, not `team/app/cache`; `team/**` matches both, and not `team`. `?` is one character that is
no slash. `{word}` stands for a value that the caller gives, taken literally; a pattern whose value is missing, or is
more than one component, matches nothing.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from auth.errors import ScopeInvalid

_TOKEN = re.compile(r"\*\*|\*|\?|\{[a-z0-9_]+\}|[^*?{}]+|.", re.DOTALL)
_COMPONENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_GLOBS = {"**": ".*", "*": "[^/]*", "?": "[^/]"}


def check_pattern(pattern: str) -> str:
    """The pattern as it is. Raises `ScopeInvalid` if it can match nothing or does not mean what it seems to."""
    if not pattern or pattern.startswith("/") or pattern.endswith("/") or "//" in pattern:
        raise ScopeInvalid(f"{pattern!r} is not a pattern; write it as names are: team/app, team/*, team/**")
    for part in _TOKEN.findall(pattern):
        if part in "{}" or any(character in part for character in " \t\r\n:,[]()|^$\\"):
            raise ScopeInvalid(f"{pattern!r}: {part!r} has no meaning here; a pattern has *, **, ? and {{user}}")
    return pattern


def matches(pattern: str, name: str, values: Mapping[str, str] | None = None) -> bool:
    """True if the whole name fits the pattern, with `{word}` taken from `values`."""
    filled = _filled(pattern, values or {})
    return filled is not None and re.compile(filled, re.DOTALL).fullmatch(name) is not None


def fixed_beginning(pattern: str, values: Mapping[str, str] | None = None) -> str | None:
    """What every name that fits begins with; None if none can fit."""
    beginning = ""
    for token in _tokens(pattern):
        if token in _GLOBS:
            break
        text = _literal(token, values or {})
        if text is None:
            return None
        beginning += text
    return beginning


@lru_cache(maxsize=4096)
def _tokens(pattern: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(pattern))


def _filled(pattern: str, values: Mapping[str, str]) -> str | None:
    parts = []
    for token in _tokens(pattern):
        glob = _GLOBS.get(token)
        if glob is None:
            text = _literal(token, values)
            if text is None:
                return None
            glob = re.escape(text)
        parts.append(glob)
    return "".join(parts)


def _literal(token: str, values: Mapping[str, str]) -> str | None:
    if not token.startswith("{"):
        return token
    value = values.get(token[1:-1], "")
    return value if _COMPONENT.fullmatch(value) else None
