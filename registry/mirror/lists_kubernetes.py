"""Images that Kubernetes manifests name: every workload, and by guessing other resources. Pure.

A pod is found by its shape wherever it lies, so that any workload's is. In resources that Kubernetes does not define
itself (and only operators understand) fields that are called like images are taken for images, and that is said.

Source: Kubernetes API, PodSpec, Container, EphemeralContainer, ImageVolumeSource.
"""

import re
from collections.abc import Mapping, Sequence

from registry.mirror.lists import Images, Node, Place, items, member, pairs, word
from registry.mirror.lists_variables import Unresolved, fill

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_OWN_VERSIONS = re.compile(r"v1|(apps|batch|extensions)/.*")
_NO_IMAGES = ("ConfigMap", "Secret", "CustomResourceDefinition")
_NO_NAMES = ("true", "false", "yes", "no", "null", "~")
_DEPTH = 100


def is_kubernetes(document: Node) -> bool:
    """True if this looks like a Kubernetes resource."""
    return word(member(document, "apiVersion")) is not None and word(member(document, "kind")) is not None


def read_kubernetes(images: Images, file: str, document: Node, values: Mapping[str, str]) -> None:
    """Add what one resource names; of a list, what each of its resources names."""
    kind, version = word(member(document, "kind")), word(member(document, "apiVersion"))
    if kind is None or version is None or kind.text in _NO_IMAGES:
        return
    if kind.text.endswith("List") and member(document, "items") is not None:
        for item in items(member(document, "items")):
            read_kubernetes(images, file, item, values)
        return
    guesses = _OWN_VERSIONS.fullmatch(version.text) is None
    _Reader(images, file, values, kind.text if guesses else "").walk(document, "", 0)


class _Reader:
    """Of a resource whose `kind` is unknown to Kubernetes; empty for one of its own."""

    def __init__(self, images: Images, file: str, values: Mapping[str, str], kind: str) -> None:
        self._images = images
        self._file = file
        self._values = values
        self._kind = kind
        self._seen: set[int] = set()

    def walk(self, node: Node, path: str, depth: int) -> None:
        """Look into everything once: aliases repeat what they stand for."""
        if id(node) in self._seen or depth > _DEPTH:
            return
        self._seen.add(id(node))
        if isinstance(node, Mapping):
            if _is_pod(node):
                self._pod(node)
            for name, value in node.items():
                if self._kind:
                    self._guess(name, value, f"{path}.{name}".lstrip("."))
                self.walk(value, f"{path}.{name}".lstrip("."), depth + 1)
        elif isinstance(node, Sequence):
            for item in node:
                self.walk(item, f"{path}[]", depth + 1)

    def _pod(self, pod: Node) -> None:
        for kind in _CONTAINERS:
            for container in items(member(pod, kind)):
                self._image(member(container, "image"))
                for variable in items(member(container, "env")):
                    self._related(variable)
                self._seen.add(id(container))  # nothing in it is guessed once more
        for volume in items(member(pod, "volumes")):
            self._image(member(volume, "image", "reference"))

    def _related(self, variable: Node) -> None:
        """What an operator starts: by convention of OLM, in variables that are called RELATED_IMAGE_…"""
        name = word(member(variable, "name"))
        if name is not None and name.text.startswith("RELATED_IMAGE_"):
            self._image(member(variable, "value"), f"variable {name.text}")

    def _guess(self, name: str, value: Node, path: str) -> None:
        if not name.lower().endswith("image"):
            return
        found = word(value)
        if found is not None:
            if found.text.lower() not in _NO_NAMES and not found.text.isdigit():
                self._image(value, f"field {path} of a {self._kind}")
            return
        parts = {key: found.text for key, part in pairs(value) if (found := word(part)) is not None}
        where = word(member(value, "repository")) or word(member(value, "name"))
        if where is None or not {"tag", "digest"} & parts.keys():
            return
        host = f"{parts['registry']}/" if "registry" in parts else ""
        tag = f":{parts['tag']}" if "tag" in parts else ""
        digest = f"@{parts['digest']}" if "digest" in parts else ""
        self._add(where.line, f"{host}{where.text}{tag}{digest}", f"field {path} of a {self._kind}")

    def _image(self, node: "Node | None", guess: str = "") -> None:
        written = word(node)
        if written is not None:
            self._add(written.line, written.text, guess)

    def _add(self, line: int, text: str, guess: str) -> None:
        place = Place(self._file, line)
        if "{{" in text:
            self._images.warn(place, f"{text!r} is a template: render it first, as with `helm template`")
            return
        try:
            name = fill(text, self._values, "$$")
        except Unresolved as error:
            self._images.unresolved(place, text, error)
            return
        known = len(self._images.named)
        self._images.add(place, name, guessed=bool(guess))
        if guess and len(self._images.named) > known:
            self._images.warn(place, f"{name} is taken for an image because of its {guess}")


def _is_pod(node: Mapping[str, Node]) -> bool:
    return any(member(container, "image") is not None for kind in _CONTAINERS for container in items(node.get(kind)))
