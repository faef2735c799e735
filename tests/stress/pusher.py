"""A client that pushes, mounts, retags and deletes at random, and knows what it must be able to pull.

Owns one repository; mounts from others. Its images share layers with everybody's. What was acknowledged must be there
whole; where an answer was lost, the old state and the new one are both right.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from typing import Protocol

from tests.images import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Content, random_bytes
from tests.wire.repository import Repository, digest_of
from tests.wire.wire import Reply, Wire

_ATTEMPTS = 50
_LAYERS = [Content(OCI_LAYER, random_bytes(200 + 997 * number, seed=number)) for number in range(40)]
_CONFIGS = [Content(OCI_CONFIG, json.dumps({"number": number}).encode()) for number in range(4)]


class Operator(Protocol):
    """Somebody who works on the storage itself, as `cargohold rmi` and `restore` do, and keeps what they delete."""

    def delete(self, name: str, digest: str) -> bool:
        """Delete a manifest with its tags; False if it is not there. Raises `Lost`."""
        ...

    def restore(self, name: str, digest: str) -> Collection[str] | None:
        """Restore it; the tags that name it again, or None if it is too late. Raises `Lost`."""
        ...


class Broken(Exception):
    """Something that was acknowledged is not there, or an answer that must not be given was given."""


class Lost(Exception):
    """No answer came, or one that says to try again."""


@dataclass(frozen=True)
class Pushed:
    """A manifest with what it needs: blobs, and for an index other manifests."""

    manifest: Content
    blobs: tuple[Content, ...] = ()
    children: tuple["Pushed", ...] = ()


def random_pushed(chance: random.Random, *, deep: bool = True) -> Pushed:
    """An image of some layers that others use too, or an index of two images."""
    note = {"number": str(chance.random())}
    if deep and chance.random() < 0.2:
        children = tuple(random_pushed(chance, deep=False) for _ in range(2))
        named = {"manifests": [child.manifest.descriptor for child in children]}
        return Pushed(_manifest(OCI_INDEX, named, note), children=children)
    config, layers = chance.choice(_CONFIGS), chance.sample(_LAYERS, chance.randint(1, 3))
    document = {"config": config.descriptor, "layers": [layer.descriptor for layer in layers]}
    return Pushed(_manifest(OCI_MANIFEST, document, note), (config, *layers))


def _manifest(media_type: str, document: Mapping[str, object], annotations: Mapping[str, str]) -> Content:
    whole = {"schemaVersion": 2, "mediaType": media_type, "annotations": annotations, **document}
    return Content(media_type, json.dumps(whole).encode())


@dataclass
class Pusher:
    """Does `step` after `step`; `allowed` is what each tag may name: None stands for nothing."""

    wires: Sequence[Wire]
    name: str
    others: Sequence[str]
    seed: int
    operator: Operator
    settle: Callable[[], None]
    """Returns when the storage has done what a killed server had asked of it."""
    counts: Counter[str] = field(default_factory=Counter)
    allowed: dict[str, set[Pushed | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def step(self) -> None:
        """One thing that clients do. Raises `Broken`."""
        actions: list[tuple[float, Callable[[], None]]] = [
            (5, self.push), (2, self.retag), (2, self.untag), (1, self.delete), (1, self.restore), (3, self.verify),
        ]  # fmt: skip
        [(_, action)] = self._chance.choices(actions, [weight for weight, _ in actions])
        try:
            action()
        except Lost as lost:
            self.counts[f"lost: {lost}"] += 1

    def push(self) -> None:
        """Push an image or index under a tag, again if something of it was collected before the manifest came."""
        tag, value = f"t{self._chance.randrange(4)}", random_pushed(self._chance)
        for _ in range(_ATTEMPTS):
            if self._try(value, tag):
                self.counts["pushed"] += 1
                self._pull(tag)
                return
            self.counts["began again"] += 1
        self.counts["gave up"] += 1

    def retag(self) -> None:
        """Push the manifest that one tag names under another tag."""
        tag = self._known()
        if tag is None:
            return
        value, other = self._pull(tag), f"t{self._chance.randrange(4)}"
        if value is not None and self._put(value, other):
            self.counts["retagged"] += 1
            self._pull(other)

    def untag(self) -> None:
        """Delete a tag; its manifest stays."""
        tag = self._known()
        if tag is None:
            return
        self.allowed[tag] = self.allowed[tag] | {None}
        reply = self._call("DELETE", f"manifests/{tag}", (202, 404))
        if reply.status == 202:
            self.allowed[tag] = {None}
            self.counts["untagged"] += 1

    def delete(self) -> None:
        """Delete a manifest with all tags that name it."""

        def delete(digest: str) -> bool:
            return self._call("DELETE", f"manifests/{digest}", (202, 404)).status == 202

        if self._delete(delete):
            self.counts["deleted"] += 1

    def restore(self) -> None:
        """Delete a manifest, and bring it back with its tags if the collector has not been faster."""
        value = self._delete(lambda digest: self.operator.delete(self.name, digest))
        if value is None:
            return
        before = {tag: values for tag, values in self.allowed.items() if None in values}
        self.allowed |= {tag: values | {value} for tag, values in before.items()}
        restored = self.operator.restore(self.name, value.manifest.digest)
        self.allowed |= before
        if restored is None:
            self.counts["too late"] += 1
            return
        self.allowed |= {tag: {value} for tag in restored}  # before a pull of one of them may be lost
        for tag in restored:
            self._pull(tag)
        self.counts["restored"] += 1

    def _delete(self, delete: Callable[[str], bool]) -> Pushed | None:
        tag = self._known()
        value = self._pull(tag) if tag is not None else None
        if value is None:
            return None
        tags = [name for name, values in self.allowed.items() if value in values]
        for name in tags:
            self.allowed[name] = self.allowed[name] | {None}
        if not delete(value.manifest.digest):
            return None
        for name in tags:
            self.allowed[name] = (self.allowed[name] - {value}) | {None}
        return value

    def verify(self) -> None:
        """Pull what a tag names, whole."""
        tag = self._known()
        if tag is not None:
            self._pull(tag)
            self.counts["verified"] += 1

    def verify_all(self) -> dict[str, Pushed]:
        """Pull everything; return what the tags name."""
        found = {tag: self._pull(tag) for tag in sorted(self.allowed)}
        return {tag: value for tag, value in found.items() if value is not None}

    def _known(self) -> str | None:
        return self._chance.choice(sorted(self.allowed)) if self.allowed else None

    def _try(self, value: Pushed, tag: str) -> bool:
        for child in value.children:
            if not self._try(child, child.manifest.digest):
                return False
        for blob in value.blobs:
            self._bring(blob)
        return self._put(value, tag)

    def _bring(self, blob: Content) -> None:
        """See that a blob is there, as clients do: ask, mount, push."""
        if self._call("HEAD", f"blobs/{blob.digest}", (200, 404)).status == 200:
            self.counts["was there"] += 1
            return
        if self._chance.random() < 0.5:
            source = self._chance.choice(self.others)
            path = f"blobs/uploads/?mount={blob.digest}&from={source}"
            if self._call("POST", path, (201, 202)).status == 201:
                self.counts["mounted"] += 1
                return
        if self._chance.random() < 0.5:
            self._call("POST", f"blobs/uploads/?digest={blob.digest}", (201,), blob.data)
            return
        location = self._call("POST", "blobs/uploads/", (202,)).header("Location")
        session = replace(self._repository(), name=self.name)
        reply = self._answer(lambda: session.finish(location, blob.digest, blob.data))
        self._expect(reply, (201, 404), location)  # 404: a killed worker's session may not be known

    def _put(self, value: Pushed, tag: str) -> bool:
        """Push the manifest; False if something that it needs was collected."""
        if not tag.startswith("sha256:"):
            self.allowed[tag] = self.allowed.get(tag, {None}) | {value}
        reply = self._answer(lambda: self._repository().push_content(tag, value.manifest))
        if reply.status in (400, 404) and reply.codes[0] == "MANIFEST_BLOB_UNKNOWN":
            return False
        self._expect(reply, (201,), f"manifests/{tag}")
        if not tag.startswith("sha256:"):
            self.allowed[tag] = {value}
        return True

    def _pull(self, tag: str) -> Pushed | None:
        """What a tag names now, whole. Raises `Broken`."""
        reply = self._call("GET", f"manifests/{tag}", (200, 404))
        if reply.status == 404:
            found = None
        else:
            values = [value for value in self.allowed[tag] if value and value.manifest.data == reply.body]
            found = values[0] if values else Pushed(Content("?", reply.body))
        if found not in self.allowed[tag]:
            raise Broken(f"{self.name}:{tag} names {found}, not {self.allowed[tag]}")
        self.allowed[tag] = {found}
        if found is not None:
            self._check_whole(found)
        return found

    def _check_whole(self, value: Pushed) -> None:
        for child in value.children:
            reply = self._call("GET", f"manifests/{child.manifest.digest}", (200,))
            if reply.body != child.manifest.data:
                raise Broken(f"{self.name} gives other bytes for {child.manifest.digest}")
            self._check_whole(child)
        for blob in value.blobs:
            reply = self._call("GET", f"blobs/{blob.digest}", (200,))
            if digest_of(reply.body) != blob.digest:
                raise Broken(f"{self.name} gives other bytes for {blob.digest}")

    def _call(self, method: str, path: str, expected: Sequence[int], body: bytes = b"") -> Reply:
        reply = self._answer(lambda: self._repository().call(method, path, body=body))
        self._expect(reply, expected, f"{method} {path}")
        return reply

    def _expect(self, reply: Reply, expected: Sequence[int], what: str) -> None:
        if reply.status == 503:
            raise Lost("503")
        if reply.status not in expected:
            raise Broken(f"{self.name}: {what} was answered with {reply.status} {reply.body[:300]!r}")

    def _answer(self, ask: Callable[[], Reply]) -> Reply:
        try:
            return ask()
        except (OSError, HTTPException) as error:
            self.settle()
            raise Lost(type(error).__name__) from error

    def _repository(self) -> Repository:
        return Repository(self._chance.choice(self.wires), self.name)
