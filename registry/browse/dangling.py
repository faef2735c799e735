"""Images without a tag that no image with a tag needs: docker calls them dangling. Only a storage knows them."""

from collections.abc import Sequence

from registry.cleanup import inventory
from registry.content.digest import Digest
from storage_backends.base import StorageBackend


async def dangling(backend: StorageBackend, name: str) -> Sequence[Digest]:
    """Those of a repository; of an index without a tag the index alone."""
    found = await inventory.read(backend, name)
    return sorted(found.roots - found.held())
