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
_IN_NO_NAME = re.compile(r"[^a-z0-9._/*-]|(?:^|(?<=/))[._-]|[._-](?=/|$)|(?<![._-])(?!(?:\.|__?|-+)(?![._-]))[._-]+")
"""What the grammar of names (distribution-spec, "Pulling manifests") has not; `*` stands for what can be anything."""
_GLOBS = {"**": ".*", "*": "[^/]*", "?": "[^/]"}


def check_pattern(pattern: str) -> str:
    """The pattern as it is. Raises `ScopeInvalid` if it can match nothing or does not mean what it seems to."""
    if not pattern or pattern.startswith("/") or pattern.endswith("/") or "//" in pattern:
        raise ScopeInvalid(f"{pattern!r} is not a pattern; write it as names are: team/app, team/*, team/**")
    for part in _TOKEN.findall(pattern):
        if part in "{}" or any(character in part for character in " \t\r\n:,[]()|^$\\"):
            raise ScopeInvalid(f"{pattern!r}: {part!r} has no meaning here; a pattern has *, **, ? and {{user}}")
    return pattern


def check_repositories(pattern: str, *placeholders: str) -> str:
    """The pattern as it is. Raises `ScopeInvalid` also if it fits no repository's name, or has another `{word}` than
    the `placeholders`: a rule that is about nothing would deny nothing.
    """
    tokens = _tokens(check_pattern(pattern))
    for token in tokens:
        if token.startswith("{") and token[1:-1] not in placeholders:
            meant = " or ".join(f"{{{word}}}" for word in placeholders)
            raise ScopeInvalid(f"{pattern!r}: {token} stands for nothing here; write {meant or '*, ** or ?'}")
    flat = "".join("*" if token in _GLOBS or token.startswith("{") else token for token in tokens)
    if found := _IN_NO_NAME.search(flat):
        raise ScopeInvalid(
            f"{pattern!r} fits no repository: {found[0]!r} is in no name; names are lower-case letters and digits,"
            " with one of . _ __ - between them"
        )
    return pattern


def check_tags(pattern: str) -> str:
    """The pattern as it is. Raises `ScopeInvalid` also if it fits no tag."""
    if found := re.search(r"[^A-Za-z0-9_.*?-]", check_pattern(pattern)):
        raise ScopeInvalid(f"{pattern!r} fits no tag: {found[0]!r} is in none")
    return pattern


def is_namespace(user: str) -> bool:
    """True if `{user}` can stand for this name in the name of a repository."""
    return not set(user) & set("/*") and _IN_NO_NAME.search(user) is None


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
