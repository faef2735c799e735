"""An upstream for tests of what goes wrong there: it gives up soon. And a blob that may come from it."""

from registry.content.digest import Digest
from registry.content.verifying import verified
from registry.mirror.credentials import CredentialSource, Given
from registry.mirror.endpoints import Endpoint
from registry.mirror.upstream import Upstream
from registry.mirror.upstream_options import Patience, UpstreamOptions
from tests.images import random_bytes
from tests.mirror.places import NAME
from tests.mirror.scripted import Scripted

DATA = random_bytes(3_000_000, 1)
DIGEST = Digest.of(DATA)
PATIENCE = Patience(attempts=3, first_wait=0.001, longest_wait=0.5, connect=5, silence=5)


def upstream_at(registry: Scripted | str, credentials: CredentialSource | None = None) -> Upstream:
    """The registry as an upstream."""
    address = registry if isinstance(registry, str) else registry.address
    return Upstream(UpstreamOptions(Endpoint.parse(address), credentials or Given(), patience=PATIENCE))


async def read(upstream: Upstream) -> bytes:
    """The blob, compared with its digest."""
    async with upstream.blob(NAME, DIGEST) as opened:
        return b"".join([block async for block in verified(DIGEST, opened.size, opened.blocks)])
