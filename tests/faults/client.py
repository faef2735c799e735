"""A client that knows what the registry owes it: what was acknowledged, and what was asked for and never answered."""

import hashlib
import http.client
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_KIB = 1024


class Gone(Exception):
    """The server went away before it answered."""


@dataclass
class Owed:
    """What may be found under each name: one value if the registry has acknowledged it, several while it has not.

    A value is a digest, or None for "not there".
    """

    blobs: dict[tuple[str, str], set[str | None]] = field(default_factory=dict)
    manifests: dict[tuple[str, str], set[str | None]] = field(default_factory=dict)
    tags: dict[tuple[str, str], set[str | None]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    subjects: dict[str, str] = field(default_factory=dict)


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Does random things to a registry, all of them legal, and keeps book."""

    def __init__(self, owed: Owed, choice: random.Random) -> None:
        self.owed = owed
        self.choice = choice
        self.port = 0
        self.session = ""
        self.session_blob = b""

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """One request on a connection of its own. Raises `Gone`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            with connection.getresponse() as response:
                return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise Gone(str(error)) from error
        finally:
            connection.close()

    def act(self) -> Answer:
        """One random action; returns its last answer. Raises `Gone`."""
        actions: list[Callable[[str], Answer]] = [self._push_blob, self._push_image, self._push_image, self._push_image]
        if any(None not in values for values in self.owed.tags.values()):
            actions += [self._delete_tag, self._delete_manifest]
        if self.owed.blobs:
            actions += [self._mount, self._delete_blob]
        return self.choice.choice(actions)(self.choice.choice(["one", "two/deep"]))

    def _push_blob(self, name: str) -> Answer:
        size = self.choice.choice([0, 1, 4 * _KIB, 70 * _KIB, 600 * _KIB])
        return self.push_blob(name, self.choice.randbytes(size))

    def push_blob(self, name: str, data: bytes) -> Answer:
        """Push in one of the ways that there are."""
        digest = self._remember(data)
        self._may_be(self.owed.blobs, (name, digest), digest)
        way = self.choice.choice(["post", "put", "patch"])
        if way == "post":
            answer = self.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data)
        else:
            begun = self.request("POST", f"/v2/{name}/blobs/uploads/")
            if begun.status != 202:
                return begun
            self.session, self.session_blob = begun.headers["location"], data
            if way == "patch":
                half = len(data) // 2
                for part in (data[:half], data[half:]):
                    patched = self.request("PATCH", self.session, part)
                    if patched.status != 202:
                        return patched
                data = b""
            answer = self.request("PUT", f"{self.session}?digest={digest}", data)
        if answer.status == 201:
            self.owed.blobs[name, digest] = {digest}
            self.session = ""
        return answer

    def _push_image(self, name: str) -> Answer:
        parts = [self.choice.randbytes(self.choice.choice([2, 3000, 200 * _KIB])) for _ in range(2)]
        for part in parts:
            answer = self.push_blob(name, part)
            if answer.status != 201:
                return answer
        config, layer = ({"mediaType": "application/x", "digest": _digest(part), "size": len(part)} for part in parts)
        manifest: dict[str, object] = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": [layer]}
        earlier = [digest for where, digest in self.owed.manifests if where == name]
        subject = self.choice.choice(earlier) if earlier and self.choice.random() < 0.4 else None
        if subject is not None:
            manifest["subject"] = {"mediaType": _MANIFEST, "digest": subject, "size": 1}
        return self._push_manifest(name, json.dumps(manifest).encode(), subject)

    def _push_manifest(self, name: str, data: bytes, subject: str | None) -> Answer:
        digest = self._remember(data)
        if subject is not None:
            self.owed.subjects[digest] = subject
        tags = self.choice.sample(["latest", "v1", "v2", "edge"], self.choice.choice([1, 1, 2]))
        by_digest = len(tags) > 1
        self._may_be(self.owed.manifests, (name, digest), digest)
        for tag in tags:
            self._may_be(self.owed.tags, (name, tag), digest)
        path = f"/v2/{name}/manifests/{digest}?{'&'.join(f'tag={tag}' for tag in tags)}" if by_digest else None
        answer = self.request("PUT", path or f"/v2/{name}/manifests/{tags[0]}", data, Content_Type=_MANIFEST)
        if answer.status == 201:
            self.owed.manifests[name, digest] = {digest}
            for tag in tags:
                self.owed.tags[name, tag] = {digest}
        return answer

    def _delete_tag(self, _: str) -> Answer:
        name, tag = self.choice.choice([key for key, values in self.owed.tags.items() if None not in values])
        self._may_be(self.owed.tags, (name, tag), None)
        answer = self.request("DELETE", f"/v2/{name}/manifests/{tag}")
        if answer.status == 202:
            self.owed.tags[name, tag] = {None}
        return answer

    def _delete_manifest(self, _: str) -> Answer:
        name, tag = self.choice.choice([key for key, values in self.owed.tags.items() if None not in values])
        digest = self.choice.choice(sorted(value for value in self.owed.tags[name, tag] if value))
        naming = [key for key, values in self.owed.tags.items() if key[0] == name and digest in values]
        self._may_be(self.owed.manifests, (name, digest), None)
        for key in naming:
            self._may_be(self.owed.tags, key, None)
        answer = self.request("DELETE", f"/v2/{name}/manifests/{digest}")
        if answer.status in (202, 404):
            self.owed.manifests[name, digest] = {None}
            for key in naming:
                self.owed.tags[key].discard(digest)
        return answer

    def _mount(self, _: str) -> Answer:
        source, digest = self.choice.choice(sorted(self.owed.blobs))
        target = "three"
        self._may_be(self.owed.blobs, (target, digest), digest)
        answer = self.request("POST", f"/v2/{target}/blobs/uploads/?mount={digest}&from={source}")
        if answer.status == 201:
            self.owed.blobs[target, digest] = {digest}
        return answer

    def _delete_blob(self, _: str) -> Answer:
        # never one that an image needs: a registry lets its clients do that, and then owes them nothing
        loose = [key for key in self.owed.blobs if key[0] == "three"]
        if not loose:
            return self._mount("")
        key = self.choice.choice(sorted(loose))
        self._may_be(self.owed.blobs, key, None)
        answer = self.request("DELETE", f"/v2/{key[0]}/blobs/{key[1]}")
        if answer.status in (202, 404):
            self.owed.blobs[key] = {None}
        return answer

    def _remember(self, data: bytes) -> str:
        digest = _digest(data)
        self.owed.contents[digest] = data
        return digest

    @staticmethod
    def _may_be(book: dict[tuple[str, str], set[str | None]], key: tuple[str, str], value: str | None) -> None:
        book.setdefault(key, {None}).add(value)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
