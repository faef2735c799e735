"""Patterns of names, as people write them: a glob (`team/*`, `v1.*`), or a regular expression in slashes (`/^v1/`).

Pure; above auth, whose globs it has, and below all that choose repositories and tags.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from auth.errors import ScopeInvalid
from auth.patterns import check_pattern, matches


class PatternInvalid(ValueError):
    """The text is no pattern."""


@dataclass(frozen=True)
class NamePattern:
    """A pattern that is one."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a pattern. Raises `PatternInvalid`."""
        pattern = cls(text)
        try:
            if pattern.is_expression:
                pattern._expression.search("")
            else:
                check_pattern(text)
        except re.error as error:
            raise PatternInvalid(f"{text}: {error} in this regular expression") from error
        except ScopeInvalid as error:
            raise PatternInvalid(f"{error}; or a regular expression in slashes: /^v[0-9]+$/") from error
        if not pattern.is_expression and set(text) & set("{}"):
            raise PatternInvalid(f"{text}: braces mean nothing here; write a name with * and ?")
        return pattern

    @property
    def is_expression(self) -> bool:
        """True for a regular expression, which need not fit the whole name."""
        return len(self.text) > 2 and self.text.startswith("/") and self.text.endswith("/")

    @property
    def is_exact(self) -> bool:
        """True if it fits one name only."""
        return not self.is_expression and not set(self.text) & set("*?")

    def fits(self, name: str) -> bool:
        """True if the name fits."""
        return self._expression.search(name) is not None if self.is_expression else matches(self.text, name)

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return re.compile(self.text[1:-1])
