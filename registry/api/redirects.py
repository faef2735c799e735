"""Who is sent to the bucket for a blob, instead of getting it through this server. Pure."""

from dataclasses import dataclass

from starlette.types import Scope

from registry.proxies import Network, Proxies, is_within


@dataclass(frozen=True, slots=True)
class Redirects:
    """Clients in `networks` (all, if there are none) are redirected for blobs of `min_bytes` and more."""

    networks: tuple[Network, ...]
    min_bytes: int
    proxies: Proxies

    def apply(self, scope: Scope, size: int) -> bool:
        """True if this client is to fetch a blob of `size` bytes by itself."""
        return size >= self.min_bytes and (not self.networks or is_within(self.proxies.client(scope), self.networks))
