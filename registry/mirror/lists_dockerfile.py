"""Images that a Dockerfile names: bases of all stages, `COPY --from`, `RUN --mount=from`, the syntax. Pure.

Source: Dockerfile reference, "Parser directives", "FROM", "ARG", "COPY --from", "RUN --mount", "Here-documents".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from registry.mirror.lists import Images, Place
from registry.mirror.lists_variables import Unresolved, fill

_DIRECTIVE = re.compile(r"#\s*([A-Za-z]+)\s*=\s*(\S+)\s*")
_HEREDOC = re.compile(r"<<(-?)(?:\"([^\"\s]+)\"|'([^'\s]+)'|([A-Za-z0-9_.]+))")
_ASSIGNMENT = re.compile(r"""([A-Za-z_][A-Za-z0-9_]*)(?:=("(?:[^"\\]|\\.)*"|'[^']*'|(?:[^\s"'\\]|\\.)*))?""")
_FROM_FLAG = re.compile(r"--from=(\S+)")
_MOUNT_FLAG = re.compile(r"--mount=(\S+)")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its name in upper case, what follows, and its line."""

    name: str
    rest: str
    line: int


def read_dockerfile(images: Images, file: str, text: str, values: Mapping[str, str], first_line: int = 1) -> None:
    """Add what a Dockerfile names; `values` are its build arguments."""
    reader = _Reader(images, file, values)
    directives = dict(_directives(text))
    if "syntax" in directives:
        line, name = directives["syntax"]
        images.add(Place(file, line + first_line - 1), name)
    escape = "`" if directives.get("escape", (0, ""))[1] == "`" else "\\"
    for instruction in instructions(text, escape, first_line):
        reader.read(instruction)


def instructions(text: str, escape: str = "\\", first_line: int = 1) -> Iterator[Instruction]:
    """The instructions of a Dockerfile, continued lines joined, without comments and here-documents."""
    lines = iter(enumerate(text.splitlines(), first_line))
    for number, line in lines:
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        while stripped.endswith(escape):
            stripped = stripped[:-1] + " " + _continued(lines)
        name, _, rest = stripped.partition(" ")
        yield Instruction(name.upper(), rest.strip(), number)
        if name.upper() in ("RUN", "COPY", "ADD"):
            for dash, *words in _HEREDOC.findall(rest):
                _skip(lines, "".join(words), indented=bool(dash))


def _continued(lines: Iterator[tuple[int, str]]) -> str:
    """The next line that is neither empty nor a comment; empty at the end."""
    for _, line in lines:
        if line.strip() and not line.strip().startswith("#"):
            return line.strip()
    return ""


def _skip(lines: Iterator[tuple[int, str]], end: str, *, indented: bool) -> None:
    for _, line in lines:
        if (line.lstrip("\t") if indented else line) == end:
            return


def _directives(text: str) -> Iterator[tuple[str, tuple[int, str]]]:
    for number, line in enumerate(text.splitlines(), 1):
        found = _DIRECTIVE.fullmatch(line.strip())
        if found is None:
            return
        yield found[1].lower(), (number, found[2])


class _Reader:
    def __init__(self, images: Images, file: str, values: Mapping[str, str]) -> None:
        self._images = images
        self._file = file
        self._given = values
        self._before: dict[str, str] = {}
        """Arguments before the first stage."""
        self._inside: dict[str, str] | None = None
        """Variables of the stage that is being read."""
        self._stages: set[str] = {"scratch"}
        self._count = 0

    def read(self, instruction: Instruction) -> None:
        name, rest = instruction.name, instruction.rest
        if name == "ONBUILD":
            name, _, rest = rest.partition(" ")
            name = name.upper()
        if name in ("ARG", "ENV"):
            self._assign(rest, given=name == "ARG")
        elif name == "FROM":
            self._stage(rest, instruction.line)
        elif name == "COPY":
            for source in _FROM_FLAG.findall(rest):
                self._other(source, instruction.line)
        elif name == "RUN":
            for mount in _MOUNT_FLAG.findall(rest):
                for option in mount.strip("\"'").split(","):
                    if option.startswith("from="):
                        self._other(option.removeprefix("from="), instruction.line)

    def _assign(self, rest: str, *, given: bool) -> None:
        """ARG and ENV. Of an argument the value that is given counts, then its default, then the one before all
        stages.
        """
        scope = self._before if self._inside is None else self._inside
        for name, value in _ASSIGNMENT.findall(rest):
            if given and name in self._given:
                scope[name] = self._given[name]
            elif value:
                try:
                    scope[name] = fill(value.strip("\"'"), scope, "\\$")
                except Unresolved:
                    scope.pop(name, None)  # who uses it is told
            elif name in self._before:
                scope[name] = self._before[name]

    def _stage(self, rest: str, line: int) -> None:
        words = [word for word in rest.split() if not word.startswith("--")]
        if words:
            self._name(words[0], line, self._before)
        if len(words) == 3 and words[1].upper() == "AS":
            self._stages.add(words[2].lower())
        self._stages.add(str(self._count))
        self._count += 1
        self._inside = {}

    def _other(self, text: str, line: int) -> None:
        self._name(text, line, {**self._before, **(self._inside or {})})

    def _name(self, text: str, line: int, values: Mapping[str, str]) -> None:
        place = Place(self._file, line)
        try:
            name = fill(text.strip("\"'"), values, "\\$")
        except Unresolved as error:
            self._images.unresolved(place, text, error)
            return
        if name.lower() not in self._stages:
            self._images.add(place, name)
