"""Who really sends a request that came through reverse proxies. Knows the request's headers and which proxies to trust.

A header counts only if the peer is a trusted proxy: anyone else could write anything into it.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_FOR = re.compile(r'for\s*=\s*"?\[?([^\s";,\]]+)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Proxies:
    """The reverse proxies whose word counts."""

    trusted: Sequence[Network] = ()

    def trusts(self, scope: Scope) -> bool:
        """True if the request came from a trusted proxy."""
        if not self.trusted:
            return False
        client = scope.get("client")
        if client is None:
            return True  # a Unix socket: its file's rights say who may connect
        return is_within(client[0], self.trusted)

    def client(self, scope: Scope) -> str:
        """The address of the client: the nearest one that is no trusted proxy; empty over a Unix socket without any."""
        peer = scope.get("client")
        nearest = str(peer[0]) if peer and peer[0] else ""
        if not self.trusts(scope):
            return nearest
        for text in reversed(_hops(scope)):
            address = _address(text)
            if address is None:
                break
            nearest = str(address)
            if not self._is_trusted(address):
                break
        return nearest

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self.trusted)


def is_within(address: str, within: Sequence[Network]) -> bool:
    """True if this is an address, and in one of the networks."""
    found = _address(address)
    return found is not None and any(found in network for network in within)


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks (`10.0.0.0/8`) as values. Raises `ValueError`."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def _hops(scope: Scope) -> list[str]:
    """The addresses that the proxies have noted, the client's first."""
    older = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    if older:
        return [part.strip() for part in ",".join(older).split(",")]
    standard = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"forwarded")
    return _FOR.findall(standard)


def _address(text: str) -> Address | None:
    bare = text
    if text.startswith("["):  # an IPv6 address, perhaps with a port
        bare = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # an IPv4 address with a port
        bare = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
