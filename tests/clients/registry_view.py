"""What a test sees of a registry without any client in between: plain requests, each answer checked by its digest.

Knows the few calls of the distribution-spec that a test needs to prepare content and to look at what a client left.
Must not know which registry answers, nor any client.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urljoin

import httpx

from tests.images import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Content,
    Image,
    Index,
    all_contents,
)

_ACCEPT = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST))
_SECONDS = 60.0


@dataclass(frozen=True)
class RegistryView:
    """One registry, seen from outside; `address` is HOST:PORT."""

    address: str
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        client = httpx.Client(base_url=f"http://{self.address}", timeout=_SECONDS, trust_env=False)
        object.__setattr__(self, "http", client)

    @property
    def port(self) -> int:
        """The PORT of the address."""
        return int(self.address.rpartition(":")[2])

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def manifest(self, repository: str, reference: str) -> Content:
        """The manifest (end-3), its media type as served; fails if the bytes are not what the header says."""
        answer = self.http.get(f"/v2/{repository}/manifests/{reference}", headers={"Accept": _ACCEPT})
        answer.raise_for_status()
        content = Content(answer.headers["content-type"], answer.content)
        assert answer.headers["docker-content-digest"] == content.digest
        return content

    def blob(self, repository: str, digest: str) -> bytes:
        """A blob, whole (end-2); fails if the bytes do not have that digest."""
        answer = self.http.get(f"/v2/{repository}/blobs/{digest}", follow_redirects=True)
        answer.raise_for_status()
        algorithm, _, expected = digest.partition(":")
        assert hashlib.new(algorithm, answer.content).hexdigest() == expected
        return answer.content

    def has_manifest(self, repository: str, reference: str) -> bool:
        """True if HEAD finds the manifest (end-3)."""
        return self._found(f"/v2/{repository}/manifests/{reference}")

    def has_blob(self, repository: str, digest: str) -> bool:
        """True if HEAD finds the blob (end-2)."""
        return self._found(f"/v2/{repository}/blobs/{digest}")

    def tags(self, repository: str) -> list[str]:
        """All tags of a repository (end-8), page by page if it takes several."""
        tags: list[str] = []
        path: str | None = f"/v2/{repository}/tags/list"
        while path is not None:
            answer = self.http.get(path)
            answer.raise_for_status()
            tags += answer.json()["tags"] or []
            following = answer.links.get("next")
            path = urljoin(path, following["url"]) if following else None
        return tags

    def push(self, repository: str, tag: str, value: Image | Index) -> None:
        """Push all that makes up an image or index (end-4, end-6, end-7), the manifest itself under `tag`."""
        for content in all_contents(value):
            if content is value.manifest:
                self.put_manifest(repository, tag, content)
            elif content.media_type in _ACCEPT:
                self.put_manifest(repository, content.digest, content)
            else:
                self.put_blob(repository, content)

    def put_manifest(self, repository: str, reference: str, content: Content) -> None:
        """PUT a manifest (end-7)."""
        answer = self.http.put(
            f"/v2/{repository}/manifests/{reference}",
            content=content.data,
            headers={"Content-Type": content.media_type},
        )
        assert answer.status_code == 201, answer.text

    def tag(self, repository: str, tags: Sequence[str], content: Content) -> None:
        """PUT a manifest by its digest under several tags (end-7b)."""
        named = "&".join(f"tag={tag}" for tag in tags)
        self.put_manifest(repository, f"{content.digest}?{named}", content)

    def put_blob(self, repository: str, content: Content) -> None:
        """POST, then PUT a blob (end-4a, end-6)."""
        begun = self.http.post(f"/v2/{repository}/blobs/uploads/")
        assert begun.status_code == 202, begun.text
        place = httpx.URL(urljoin(str(self.http.base_url), begun.headers["location"]))
        answer = self.http.put(
            place.copy_merge_params({"digest": content.digest}),
            content=content.data,
            headers={"Content-Type": "application/octet-stream"},
        )
        assert answer.status_code == 201, answer.text

    def delete_manifest(self, repository: str, reference: str) -> None:
        """Delete a manifest by digest, or a tag (end-9)."""
        answer = self.http.delete(f"/v2/{repository}/manifests/{reference}")
        assert answer.status_code == 202, answer.text

    def delete_blob(self, repository: str, digest: str) -> None:
        """Delete a blob (end-10)."""
        answer = self.http.delete(f"/v2/{repository}/blobs/{digest}")
        assert answer.status_code == 202, answer.text

    def assert_holds(self, repository: str, tag: str, value: Image | Index) -> None:
        """Fail unless the registry serves exactly this value under the tag, byte for byte and whole."""
        served = self.manifest(repository, tag)
        assert served.digest == value.manifest.digest
        assert served.media_type == value.manifest.media_type
        for content in all_contents(value):
            if content.media_type in _ACCEPT:
                assert self.manifest(repository, content.digest).data == content.data
            else:
                assert self.blob(repository, content.digest) == content.data

    def _found(self, path: str) -> bool:
        answer = self.http.head(path, headers={"Accept": _ACCEPT}, follow_redirects=True)
        assert answer.status_code in {200, 404}, answer.status_code
        return answer.status_code == 200
