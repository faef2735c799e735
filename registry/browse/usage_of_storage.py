"""What a storage holds, and what for: images with a tag, images without one, blobs that no image needs. Reads only.

What garbage collection would free is its own dry run's word, so that both always say the same.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

from registry.browse.usage import Usage
from registry.cleanup import inventory
from registry.cleanup.gc import Collection, Options
from registry.cleanup.inventory import Inventory
from registry.content import keyspace, walk
from registry.content.digest import Digest
from registry.content.side_by_side import batches, side_by_side
from storage_backends.base import StorageBackend


class StorageUsage:
    """One look at all of a storage. `unneeded` are the bytes of blobs that no image needs, `collectable` those of them
    that garbage collection with these options would remove now; the rest is young, or needed by a push under way.
    """

    def __init__(self, backend: StorageBackend, options: Options) -> None:
        self.usage = Usage()
        self.unneeded = 0
        self.unneeded_blobs = 0
        self.collectable = 0
        self.notes: list[str] = []
        self._backend = backend
        self._options = replace(options, dry_run=True)

    async def run(self) -> AsyncIterator[str]:
        """Look; yields now and then where it is. Raises `StorageError`."""
        async for name in walk.names(self._backend, keyspace.REPOSITORIES):
            yield name
            await self._repository(await inventory.read(self._backend, name))
        async for blobs in self._unneeded():
            self.unneeded_blobs += len(blobs)
            self.unneeded += sum(blobs)
            yield "blobs that no image needs"
        work = Collection(self._backend, self._options, "du")
        async for collected in work.run():
            yield collected.stage
        self.collectable = work.collected.freed
        self.notes += work.collected.notes

    async def _repository(self, found: Inventory) -> None:
        held = found.held()
        needed: dict[Digest, bool] = {}
        for digest, image in found.images.items():
            for part in (digest, *image.named):
                needed[part] = needed.get(part, False) or digest in held
        others = [part for part in needed if part not in found.images]
        sizes = dict(zip(others, await side_by_side(self._backend, self._size, others), strict=True))
        sizes |= {digest: image.size for digest, image in found.images.items()}
        tags = sum(len(image.tags) for image in found.images.values())
        self.usage.add(
            found.name, tags, len(found.images), {part: (sizes[part], is_held) for part, is_held in needed.items()}
        )

    async def _unneeded(self) -> AsyncIterator[list[int]]:
        """The sizes of all blobs that no manifest of any repository names."""
        async for algorithm in walk.children(self._backend, keyspace.BLOBS):
            async for shard in walk.children(self._backend, f"{keyspace.BLOBS}{algorithm}/"):
                entries = walk.children(self._backend, keyspace.blobs(algorithm, shard))
                async for batch in batches(self._backend, entries, 64):
                    digests = [walk.parsed(f"{algorithm}:{encoded}") for encoded in batch]
                    dead = [digest for digest in digests if digest is not None and digest not in self.usage]
                    yield [size for size in await side_by_side(self._backend, self._size, dead) if size]

    async def _size(self, digest: Digest) -> int:
        info = await walk.stat_if_there(self._backend, keyspace.blob(digest))
        return info.size if info is not None else 0  # a foreign layer, or one that is missing
