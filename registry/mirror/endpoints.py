"""Where a registry really is: the host that images name, and the URL that is spoken to. Pure.

Source of Docker Hub's names: github.com/distribution/reference, normalize.go.
"""

import ipaddress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from registry.content.image_references import DOCKER_HUB, is_host
from registry.content.names import RepositoryName

_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_HUB_URL = "https://registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A registry: `host` as images and credentials name it, `url` without a slash at its end."""

    host: str
    url: str

    @classmethod
    def parse(cls, text: str, *, plain_http: bool = False) -> Self:
        """Read `HOST[:PORT]` or a URL. A host is spoken to by https, on the loopback and with `plain_http` by http.

        Raises `ValueError` with what is wrong.
        """
        if "@" in text:  # what stands before it is in no message
            raise ValueError(
                "a name and a password do not belong into the URL of a registry: write https://HOST[:PORT]"
            )
        scheme, host = _parted(text) if "://" in text else ("", text)
        if not is_host(host):
            raise ValueError(f"{host!r} is not a registry: write HOST[:PORT]")
        if host in _HUB_NAMES:
            return cls(DOCKER_HUB, _HUB_URL)
        return cls(host, f"{scheme or ('http' if plain_http or is_loopback(host) else 'https')}://{host}")

    @property
    def names(self) -> frozenset[str]:
        """Every host by which images may name it."""
        return _HUB_NAMES if self.host == DOCKER_HUB else frozenset({self.host})

    @property
    def is_plain(self) -> bool:
        """True if nothing on the way is encrypted."""
        return self.url.startswith("http://")

    def repository(self, name: RepositoryName) -> RepositoryName:
        """What a repository is called there: Docker Hub's own images live in `library/`."""
        return RepositoryName(f"library/{name}") if self.host == DOCKER_HUB and "/" not in name else name


def _parted(url: str) -> tuple[str, str]:
    """Scheme and host of a URL. Raises `ValueError`."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and not parts.query and not parts.fragment
    except ValueError:  # brackets around what is no address
        usable = False
    if not usable:
        raise ValueError(f"{url!r} is not the URL of a registry: write https://HOST[:PORT]")
    if parts.path.strip("/").removesuffix("v2"):
        raise ValueError(f"{url!r} has a path: registries are at the root of their host, write https://HOST[:PORT]")
    return parts.scheme, parts.netloc


def is_loopback(host: str) -> bool:
    """True if `HOST[:PORT]` is this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
