"""The second half of a cycle: what nobody was found to need is condemned, claimed and removed, shard by shard."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from registry.content.digest import Digest
from registry.content.leases import Collector
from registry.content.names import RepositoryName, Tag
from registry.content.tag_store import TagStore
from storage_backends.base import ObjectInfo, StorageBackend
from storage_backends.waiting import to_its_end

_CLAIM = 100
"""So many digests go at a time; who needs one of them again has to wait until all of these are gone."""

_KEYS = 1000
"""So many of their links go between two signs of life."""


@dataclass(slots=True)
class Doomed:
    """What goes with one digest, in this order: tags that name it, links and the like, the bytes.

    `records` (see `content.trash`) are written before, so that it can be restored.
    """

    keys: Sequence[str] = ()
    blob: ObjectInfo | None = None
    tags: Sequence[tuple[RepositoryName, Tag]] = ()
    records: Sequence[tuple[str, bytes]] = ()


async def remove(
    backend: StorageBackend, collector: Collector, shard: str, doomed: Mapping[Digest, Doomed]
) -> AsyncIterator[Mapping[Digest, Doomed]]:
    """Remove what nobody has come to need; yields what is gone, some at a time. Raises `LeaseLost`.

    Of `tags` those stay, and are left out of what is yielded, that name something else by now: that one of them, or any
    other tag, comes to name this digest at this moment is what the claim rules out. Who is cancelled meanwhile is told
    when what was claimed is gone: a claim may be given up only then.
    """
    by_name = {str(digest): digest for digest in doomed}
    await collector.condemn(shard, by_name)
    while claimed := await collector.claim(shard, _CLAIM):
        going = {by_name[name]: doomed[by_name[name]] for name in sorted(claimed)}
        await to_its_end(_remove_claimed(backend, collector, going))
        yield going


async def _remove_claimed(backend: StorageBackend, collector: Collector, going: Mapping[Digest, Doomed]) -> None:
    if records := [record for item in going.values() for record in item.records]:
        await backend.put_many(records)
    for digest, item in going.items():
        item.tags = [tag for tag in item.tags if await _untag(backend, collector, tag, digest)]
    keys = [key for item in going.values() for key in item.keys]
    for start in range(0, len(keys), _KEYS):
        await collector.beat()  # a layer may have been part of very many repositories
        await backend.delete_many(keys[start : start + _KEYS], durable=False)
    await backend.delete_many([item.blob.key for item in going.values() if item.blob], durable=False)
    collector.removed()


async def _untag(
    backend: StorageBackend, collector: Collector, tag: tuple[RepositoryName, Tag], digest: Digest
) -> bool:
    await collector.beat()  # an image may have more tags than can be removed while a lease lasts
    tags = TagStore(backend)
    version = await tags.version(*tag, digest)
    if version is None:
        return False
    await tags.remove_version(*tag, version)
    return True
