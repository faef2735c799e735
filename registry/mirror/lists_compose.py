"""Images that a compose file names. Pure. Source: compose-spec, "Services" and "Build"."""

from collections.abc import Mapping

from registry.mirror.lists import Images, Node, Place, items, member, pairs, word
from registry.mirror.lists_dockerfile import read_dockerfile
from registry.mirror.lists_variables import Unresolved, fill

_CONTEXT = "docker-image://"


def is_compose(document: Node) -> bool:
    """True if this looks like a compose file."""
    return isinstance(member(document, "services"), Mapping) and member(document, "apiVersion") is None


def read_compose(images: Images, file: str, document: Node, values: Mapping[str, str]) -> None:
    """Add what the services of a compose file name."""
    reader = _Reader(images, file, values)
    for name, service in pairs(member(document, "services")):
        reader.service(name, service)


class _Reader:
    def __init__(self, images: Images, file: str, values: Mapping[str, str]) -> None:
        self._images = images
        self._file = file
        self._values = values

    def service(self, name: str, service: Node) -> None:
        self._image(member(service, "image"))
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
        place = Place(self._file, written.line)
        try:
            name = fill(written.text.removeprefix(beginning), self._values, "$$")
        except Unresolved as error:
            self._images.unresolved(place, written.text, error)
            return
        self._images.add(place, name)

    def _build(self, name: str, build: Node) -> None:
        for _, other in pairs(member(build, "additional_contexts")):
            self._image(other, _CONTEXT)
        inline = word(member(build, "dockerfile_inline"))
        if inline is not None:
            arguments = dict(self._values)
            for argument, value in pairs(member(build, "args")):
                given = word(value)
                if given is not None:
                    arguments.setdefault(argument, given.text)
            read_dockerfile(self._images, self._file, inline.text, arguments, first_line=inline.line + 1)
            return
        context = word(build) or word(member(build, "context"))
        place = Place(self._file, context.line if context else 1)
        where = f" from {context.text}" if context else ""
        self._images.warn(place, f"service {name} is built{where}: name its Dockerfile too")
