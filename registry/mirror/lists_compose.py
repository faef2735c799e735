"""Images that a compose file names. Pure. Source: compose-spec, "Services" and "Build"."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from registry.mirror.lists import Images, Node, Place, Written, items, member, pairs, word
from registry.mirror.lists_dockerfile import read_dockerfile
from registry.mirror.lists_variables import Unresolved, fill

_CONTEXT = "docker-image://"


def is_compose(document: Node) -> bool:
    """True if this looks like a compose file."""
    return isinstance(member(document, "services"), Mapping) and member(document, "apiVersion") is None


def read_compose(images: Images, file: str, document: Node, values: Mapping[str, str]) -> None:
    """Add what the services of a compose file name."""
    reader = _Reader(images, file, values)
    reader.includes(member(document, "include"))
    for name, service in pairs(member(document, "services")):
        reader.service(name, service)


class _Reader:
    def __init__(self, images: Images, file: str, values: Mapping[str, str]) -> None:
        self._images = images
        self._file = file
        self._values = values

    def includes(self, node: "Node | None") -> None:
        for one in items(node):
            paths = member(one, "path")
            for path in items(paths) or (paths or one,):
                if (written := word(path)) is not None:
                    self._images.warn(Place(self._file, written.line), f"{written.text} is included: name it too")

    def service(self, name: str, service: Node) -> None:
        self._image(member(service, "image"))
        other = word(member(service, "extends", "file"))
        if other is not None and word(member(service, "image")) is None:
            place = Place(self._file, other.line)
            self._images.warn(place, f"service {name} extends one of {other.text}: name that file too")
        for volume in items(member(service, "volumes")):
            kind = word(member(volume, "type"))
            if kind is not None and kind.text == "image":
                self._image(member(volume, "source"))
        build = member(service, "build")
        if build is not None:
            self._build(name, build)

    def _image(self, node: "Node | None", beginning: str = "") -> None:
        written = word(node)
        if written is None or not written.text.startswith(beginning):
            return
        name = self._filled(written)
        if name is not None:
            self._images.add(Place(self._file, written.line), name.removeprefix(beginning))

    def _filled(self, written: Written | None) -> str | None:
        """A word with its variables' values; None if there is none, and a warning if they cannot be told."""
        if written is None:
            return None
        try:
            return fill(written.text, self._values, "$$")
        except Unresolved as error:
            self._images.unresolved(Place(self._file, written.line), written.text, error)
            return None

    def _build(self, name: str, build: Node) -> None:
        contexts = member(build, "additional_contexts")
        for _, other in (*pairs(contexts), *_assigned(contexts)):
            self._image(other, _CONTEXT)
        inline = word(member(build, "dockerfile_inline"))
        if inline is not None:
            arguments = dict(self._values)
            given = member(build, "args")
            for argument, value in (*pairs(given), *_assigned(given)):
                if argument not in arguments and (filled := self._filled(word(value))) is not None:
                    arguments[argument] = filled
            read_dockerfile(self._images, self._file, inline.text, arguments, first_line=inline.line + 1)
            return
        context = word(build) or word(member(build, "context"))
        place = Place(self._file, context.line if context else 1)
        where = f" from {context.text}" if context else ""
        self._images.warn(place, f"service {name} is built{where}: name its Dockerfile too")


@dataclass(frozen=True, slots=True)
class _Value:
    """The value of an assignment, as a word of its own."""

    text: str
    line: int


def _assigned(node: "Node | None") -> Iterator[tuple[str, Written]]:
    """The assignments in a list, which compose takes wherever it takes a map of words."""
    for item in items(node):
        written = word(item)
        if written is not None and "=" in written.text:
            name, _, value = written.text.partition("=")
            yield name, _Value(value, written.line)
