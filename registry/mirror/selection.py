"""Which images of a place somebody wants, and what they shall be called at the target. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from registry.content.image_references import host_in_name
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.versions import VersionRange, newest
from registry.name_patterns import NamePattern

_COMPANION = re.compile(r"(sha256-[0-9a-f]{64}|sha512-[0-9a-f]{64,128})(\.[a-z]+)?")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}|[{}]")
_PLACEHOLDERS = ("name", "host", "base")


class NamingInvalid(ValueError):
    """The text is no way to name repositories."""


def is_companion(tag: str) -> bool:
    """True for tags that belong to an image: cosign's signatures, and lists of referrers. They go where it goes."""
    return _COMPANION.fullmatch(tag) is not None


@dataclass(frozen=True, slots=True)
class Selection:
    """Repositories, and of each of them some tags: the `references` as they are, and of all tags those that fit.

    A tag fits one of the `tags` (any, if there are none), is in the range of `versions`, and fits none of
    `exclude_tags`; with `newest` only the highest versions of these are taken.
    """

    repositories: tuple[NamePattern, ...]
    exclude_repositories: tuple[NamePattern, ...] = ()
    references: tuple[Reference, ...] = ()
    tags: tuple[NamePattern, ...] = ()
    exclude_tags: tuple[NamePattern, ...] = ()
    versions: VersionRange | None = None
    newest: int = 0

    @property
    def needs_list(self) -> bool:
        """True if the tags that there are have to be known."""
        return bool(not self.references or self.tags or self.versions or self.newest)

    def takes_repository(self, name: str) -> bool:
        """True if it wants images of this repository."""
        return _fits(self.repositories, name) and not _fits(self.exclude_repositories, name)

    def choose(self, tags: Iterable[Tag]) -> list[Tag]:
        """Those tags of a repository that it wants."""
        fitting = [
            tag
            for tag in tags
            if not is_companion(tag)
            and (not self.tags or _fits(self.tags, tag))
            and not _fits(self.exclude_tags, tag)
            and (self.versions is None or self.versions.has(tag))
        ]
        return [Tag(tag) for tag in newest(fitting, self.newest)] if self.newest else fitting


@dataclass(frozen=True, slots=True)
class Naming:
    """What a repository is called at the target: `{name}` is its name, `{base}` the last part of it, `{host}` where it
    comes from.
    """

    template: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a template; `mirror` is `mirror/{name}`, and nothing is `{name}`. Raises `NamingInvalid`."""
        for match in _PLACEHOLDER.finditer(text):
            if match[1] not in _PLACEHOLDERS:
                raise NamingInvalid(f"{text!r}: in braces stand {{name}}, {{base}} or {{host}}")
        if "{name}" not in text and "{base}" not in text:
            text = f"{text.strip('/')}/{{name}}".removeprefix("/")
        naming = cls(text)
        naming.target("host.example:5000", RepositoryName("a/b"))
        return naming

    def makes(self, host: str, name: RepositoryName) -> bool:
        """True if a repository of `host` that is called otherwise may get this name."""
        any_of = {"name": ".+", "base": "[^/]+", "host": re.escape(host_in_name(host))}
        parts = re.split(r"\{([^{}]*)\}", self.template)
        words = (any_of[part] if number % 2 else re.escape(part) for number, part in enumerate(parts))
        return self.template != "{name}" and re.fullmatch("".join(words), name) is not None

    def target(self, host: str, name: RepositoryName) -> RepositoryName:
        """The name of a repository of `host` at the target. Raises `NameInvalid`."""
        values = {"name": name, "base": name.rpartition("/")[2], "host": host_in_name(host)}
        return RepositoryName.parse(_PLACEHOLDER.sub(lambda match: values[match[1]], self.template))


def _fits(patterns: Sequence[NamePattern], name: str) -> bool:
    return any(pattern.fits(name) for pattern in patterns)
