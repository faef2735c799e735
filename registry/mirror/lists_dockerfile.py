"""Images that a Dockerfile names: bases of all stages, `COPY --from`, `RUN --mount=from`, the syntax. Pure.

Source: Dockerfile reference, "Parser directives", "FROM", "ARG", "COPY --from", "RUN --mount", "Here-documents".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from registry.mirror.lists import Images, Place
from registry.mirror.lists_variables import Unresolved, fill

_DIRECTIVE = re.compile(r"#\s*([A-Za-z]+)\s*=\s*(\S+)\s*")
_WORD = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s"'\\])+""")
_HEREDOC = re.compile(r"[0-9]*<<(-?)([^<]+)")
"""A whole word of the shell: `$((1<<2))` and `<<<text` begin none."""
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
    lines, place = text.splitlines(), 0
    while place < len(lines):
        number, line = place + first_line, lines[place].strip()
        place += 1
        if not line or line.startswith("#"):
            continue
        while line.endswith(escape) and not line.endswith(escape * 2):
            more, place = _continued(lines, place)
            line = line[:-1] + more
        name, rest = (*line.split(maxsplit=1), "", "")[:2]
        yield Instruction(name.upper(), rest, number)
        if name.upper() in ("RUN", "COPY", "ADD", "ONBUILD"):
            for word in _WORD.findall(rest):
                if (begun := _HEREDOC.fullmatch(word)) is not None:
                    place = _behind(lines, place, re.sub(r"[\"'\\]", "", begun[2]), indented=bool(begun[1]))


def _continued(lines: Sequence[str], place: int) -> tuple[str, int]:
    """The next line that is neither empty nor a comment, and the place behind it; empty at the end."""
    for number in range(place, len(lines)):
        if lines[number].strip() and not lines[number].strip().startswith("#"):
            return lines[number].rstrip(), number + 1
    return "", len(lines)


def _behind(lines: Sequence[str], place: int, end: str, *, indented: bool) -> int:
    """The place behind the line that ends a here-document; where it begins if there is none: then it is none."""
    for number in range(place, len(lines)):
        if (lines[number].lstrip("\t") if indented else lines[number]) == end:
            return number + 1
    return place


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
            name, rest = (*rest.split(maxsplit=1), "", "")[:2]
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
