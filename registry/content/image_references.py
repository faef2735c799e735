"""Image references: what people call an image, `[HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]`. Read nowhere else.

Pure. Source: github.com/distribution/reference, reference.go and normalize.go, whose rules docker follows.
"""

import re
from dataclasses import dataclass
from typing import Self

from registry.content.digest import Digest
from registry.content.errors import NameInvalid
from registry.content.names import Reference, RepositoryName, Tag

DOCKER_HUB = "docker.io"
LATEST = Tag("latest")
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_IN_NAME = str.maketrans({":": "-", "[": "", "]": ""})
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(?::[0-9]{{1,5}})?")


def is_host(text: str) -> bool:
    """True if the text is `HOST[:PORT]`."""
    return _HOST.fullmatch(text) is not None and len(text) <= 255


def host_in_name(host: str) -> str:
    """What stands for `HOST[:PORT]` where it is a part of a repository's name: `[::1]:5000` becomes `0--1-5000`."""
    plain = host.lower().replace("[::", "[0::").replace("::]", "::0]")
    return plain.translate(_IN_NAME)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image by its name; `host` is empty if none was written."""

    host: str
    name: RepositoryName
    tag: Tag | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference as docker does: what stands before the first slash is a host if it has a dot, a colon or an
        upper-case letter, or is `localhost`. Raises `NameInvalid`, `TagInvalid`, `DigestInvalid`.
        """
        rest, at, digest = text.partition("@")
        host, slash, path = rest.partition("/")
        if slash and (host == "localhost" or any(char in ".:[" or char.isupper() for char in host)):
            if not is_host(host):
                raise NameInvalid(f"{host[:80]!r} is not a host: write HOST[:PORT]/REPOSITORY[:TAG]")
        else:
            host, path = "", rest
        name, colon, tag = path.partition(":")  # a name has no colon
        return cls(
            host,
            RepositoryName.parse(name),
            Tag.parse(tag) if colon else None,
            Digest.parse(digest) if at else None,
        )

    @property
    def reference(self) -> Reference:
        """What names the manifest: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or LATEST

    def as_docker(self) -> "ImageReference":
        """What docker takes it for: without a host it is Docker Hub's, and whose own images live in `library/`."""
        host = self.host or DOCKER_HUB
        is_official = host == DOCKER_HUB and "/" not in self.name
        name = RepositoryName(f"library/{self.name}") if is_official else self.name
        return ImageReference(host, name, self.tag, self.digest)

    def __str__(self) -> str:
        host = f"{self.host}/" if self.host else ""
        tag = f":{self.tag}" if self.tag else ""
        return f"{host}{self.name}{tag}{f'@{self.digest}' if self.digest else ''}"
