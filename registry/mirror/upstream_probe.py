"""Finds out how a registry speaks whose certificate need not be checked: with encryption, or without.

Only where that was said: whoever gives up the check gives up the encryption, too. Docker's "insecure" registries and
skopeo's `tls-verify: false` mean both.
"""

from dataclasses import replace

import httpx

from registry.mirror.endpoints import Endpoint
from registry.mirror.upstream_client import new_client
from registry.mirror.upstream_options import UpstreamOptions


async def probed(options: UpstreamOptions) -> UpstreamOptions:
    """The same registry, without encryption if it answers only so; as it is if its certificate is to be checked."""
    if options.verify_tls or options.endpoint.is_plain:
        return options
    async with new_client(options) as client:
        try:
            async with client.stream("GET", f"{options.endpoint.url}/v2/"):
                return options
        except httpx.TransportError:
            host = options.endpoint.host
    return replace(options, endpoint=Endpoint(host, f"http://{host}"))
