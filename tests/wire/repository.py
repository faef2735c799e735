"""One repository of a registry as a test uses it: the steps of a push, each as one request.

Knows the endpoints of the distribution-spec; asserts only that a step did what a test builds on.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from tests.images import Content, Image, Index, all_contents
from tests.wire.wire import Body, Reply, Wire

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """The digest of these bytes."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def with_parameters(location: str, text: str) -> str:
    """A location with more query parameters: it may have some already."""
    return f"{location}{'&' if '?' in location else '?'}{text}"


@dataclass(frozen=True)
class Repository:
    """The repository `name` of the registry behind `wire`."""

    wire: Wire
    name: str

    def __getitem__(self, path: str) -> str:
        """A path below the repository's."""
        return f"/v2/{self.name}/{path}"

    def call(self, method: str, path: str, *, body: Body = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """A request to a path below the repository's."""
        return self.wire.call(method, self[path], body=body, headers=headers)

    def begin(self, parameters: str = "") -> str:
        """Open an upload session (end-4a, end-4c); return its location."""
        reply = self.call("POST", f"blobs/uploads/{parameters}")
        assert reply.status == 202, reply.body
        return reply.header("Location")

    def append(self, location: str, data: Body, content_range: str | None = None) -> Reply:
        """Send a chunk (end-5)."""
        headers = {"Content-Type": "application/octet-stream"}
        if content_range is not None:
            headers["Content-Range"] = content_range
        return self.wire.call("PATCH", location, body=data, headers=headers)

    def finish(self, location: str, digest: str, data: Body = b"", content_range: str | None = None) -> Reply:
        """End a session (end-6)."""
        headers = {"Content-Type": "application/octet-stream"}
        if content_range is not None:
            headers["Content-Range"] = content_range
        return self.wire.call("PUT", with_parameters(location, f"digest={digest}"), body=data, headers=headers)

    def offset(self, location: str) -> int:
        """The bytes that a session holds, by its status (end-13); 0 and 1 look alike there."""
        reply = self.wire.call("GET", location)
        assert reply.status == 204, reply.body
        first, _, last = reply.header("Range").partition("-")
        assert first == "0"
        return int(last) + 1 if int(last) else 0

    def push_blob(self, data: bytes, algorithm: str = "sha256") -> str:
        """Push a blob in one go (end-4a, end-6); return its digest."""
        digest = digest_of(data, algorithm)
        reply = self.finish(self.begin(), digest, data)
        assert reply.status == 201, reply.body
        return digest

    def put_manifest(self, reference: str, data: bytes, media_type: str = MANIFEST_TYPES[0]) -> Reply:
        """Push a manifest (end-7)."""
        return self.call("PUT", f"manifests/{reference}", body=data, headers={"Content-Type": media_type})

    def push(self, tag: str, value: Image | Index) -> str:
        """Push an image or index with all that it needs under a tag; return its digest."""
        for content in all_contents(value):
            if content.media_type not in MANIFEST_TYPES:
                self.push_blob(content.data)
                continue
            reference = tag if content is value.manifest else content.digest
            reply = self.put_manifest(reference, content.data, content.media_type)
            assert reply.status == 201, reply.body
        return value.manifest.digest

    def push_content(self, reference: str, content: Content) -> Reply:
        """Push one manifest whose references are there."""
        return self.put_manifest(reference, content.data, content.media_type)

    def assert_holds(self, tag: str, value: Image | Index) -> None:
        """Fail unless the value is served whole, byte for byte, under its tag and its digests."""
        for content in all_contents(value):
            if content.media_type not in MANIFEST_TYPES:
                reply = self.call("GET", f"blobs/{content.digest}")
                assert (reply.status, reply.body) == (200, content.data), (reply.status, reply.body[:500])
                continue
            for reference in {content.digest, tag if content is value.manifest else content.digest}:
                reply = self.call("GET", f"manifests/{reference}")
                assert (reply.status, reply.body) == (200, content.data), (reply.status, reply.body[:500])
                assert reply.header("Content-Type") == content.media_type
                assert reply.header("Docker-Content-Digest") == content.digest

    def tags(self) -> list[str]:
        """All tags (end-8a)."""
        reply = self.call("GET", "tags/list")
        assert reply.status == 200, reply.body
        tags: list[str] = reply.json["tags"]
        return tags
