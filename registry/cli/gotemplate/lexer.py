"""A template as tokens: text, and the words of each action. Knows no grammar beyond a single token."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from registry.cli.gotemplate.errors import TemplateInvalid

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)
    | (?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<field>\.[^\W\d]\w*)
    | (?P<dot>\.)
    | (?P<variable>\$\w*)
    | (?P<word>[^\W\d]\w*)
    | (?P<symbol>:=|[=(),|])
    """,
    re.VERBOSE | re.DOTALL,
)
_OPEN = re.compile(r"\{\{(?:-(?=\s))?")
_CLOSE = re.compile(r"\s-\}\}|\}\}")
_COMMENT = re.compile(r"\s*/\*.*?\*/(\s-)?\}\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is text, open, close, end, or that of a word in an action; `at` is where it begins.

    `joined` is true if nothing stands between it and the token before: `.A.B` is one operand, `.A .B` are two.
    """

    kind: str
    text: str
    at: int
    joined: bool = False


def tokens(text: str) -> Iterator[Token]:
    """All tokens of a template. Raises `TemplateInvalid`."""
    at, trim = 0, False
    while opened := _OPEN.search(text, at):
        before = text[at : opened.start()]
        before = before.lstrip() if trim else before
        yield Token("text", before.rstrip() if opened[0].endswith("-") else before, at)
        comment = _COMMENT.match(text, opened.end())
        if comment is not None:
            at, trim = comment.end(), bool(comment[1])
            continue
        yield Token("open", opened[0], opened.start())
        for token in _action(text, opened):
            yield token
            at, trim = token.at + len(token.text), "-" in token.text
    yield Token("text", text[at:].lstrip() if trim else text[at:], at)
    yield Token("end", "", len(text))


def _action(text: str, opened: re.Match[str]) -> Iterator[Token]:
    """The tokens of one action; the last one is what closes it."""
    at, joined = opened.end(), False
    while True:
        closed = _CLOSE.match(text, at)
        if closed is not None:
            yield Token("close", closed[0], at)
            return
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            if at == len(text):
                raise TemplateInvalid("'{{' is not closed with '}}'", text, opened.start())
            raise TemplateInvalid("this cannot be read", text, at)
        if found.lastgroup != "space":
            yield Token(found.lastgroup, found[0], at, joined)
        at, joined = found.end(), found.lastgroup != "space"
