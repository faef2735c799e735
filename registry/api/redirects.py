"""Who is sent to the bucket for a blob, instead of getting it through this server. Pure."""

import ipaddress
from dataclasses import dataclass

from starlette.types import Scope

from registry.proxies import Network, Proxies


@dataclass(frozen=True, slots=True)
class Redirects:
    """Clients in `networks` (all, if there are none) are redirected for blobs of `min_bytes` and more."""

    networks: tuple[Network, ...]
    min_bytes: int
    proxies: Proxies

    def apply(self, scope: Scope, size: int) -> bool:
        """True if this client is to fetch a blob of `size` bytes by itself."""
        return size >= self.min_bytes and (not self.networks or self._is_inside(self.proxies.client(scope)))

    def _is_inside(self, client: str) -> bool:
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False  # over a Unix socket
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self.networks)
