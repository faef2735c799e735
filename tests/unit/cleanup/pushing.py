"""Images for the tests of cleaning up: pushed, found, counted."""

from collections.abc import Mapping, Sequence
from typing import Any

from registry.cleanup.gc import Collected, Collection
from registry.cleanup.gc import Options as GcOptions
from registry.cleanup.image_removal import Chooser, ImageRemoval, Options, Removed
from registry.content import keyspace, mediatypes, walk
from registry.content.digest import Digest
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry
from storage_backends.base import StorageBackend
from tests.unit.content.documents import Document, descriptor, encoded, image, index
from tests.unit.content.pouring import Poured

APP = RepositoryName.parse("team/app")
OTHER = RepositoryName.parse("other")
CONFIG = b"{}"


async def push(
    registry: Registry, tag: str | None, *layers: bytes, name: RepositoryName = APP, config: bytes = CONFIG, **more: Any
) -> Digest:
    """Push an image of these layers, under a tag or only by its digest."""
    for data in (config, *layers):
        await registry.uploads.push(name, Digest.of(data), Poured(data))
    return await push_document(registry, tag, image(config, layers, **more), name)


async def push_document(registry: Registry, tag: str | None, document: Document, name: RepositoryName = APP) -> Digest:
    """Push a manifest, under a tag or only by its digest."""
    data = encoded(document)
    reference = Digest.of(data) if tag is None else Tag(tag)
    return (await registry.put_manifest(name, reference, data, None)).digest


async def push_index(registry: Registry, tag: str | None, *children: Digest, **more: Any) -> Digest:
    """Push an index of manifests that are there."""
    named = [named_manifest(child) for child in children]
    return await push_document(registry, tag, index(named, **more))


def named_manifest(digest: Digest, size: int = 7) -> Mapping[str, object]:
    """The descriptor of an image's manifest, as an index or a referrer names it."""
    return descriptor(media_type=mediatypes.OCI_MANIFEST) | {"digest": str(digest), "size": size}


async def remove(
    backend: StorageBackend, chooser: Chooser, *, grace: float = -1, for_good: bool = False, dry_run: bool = False
) -> Removed:
    """One whole run."""
    work = ImageRemoval(backend, chooser, Options(grace, 0 if for_good else grace, dry_run=dry_run), "a test")
    async for _ in work.run():
        pass
    return work.removed


async def collect(backend: StorageBackend, grace: float = -1) -> Collected:
    """One whole garbage collection."""
    work = Collection(backend, GcOptions(grace=grace), "a test")
    async for _ in work.run():
        pass
    return work.collected


async def manifests(backend: StorageBackend, name: RepositoryName = APP) -> set[Digest]:
    """The manifests of a repository."""
    return {
        entry.digest
        async for entry in walk.by_digest(backend, keyspace.revisions(name), "/link")
        if entry.digest is not None
    }


async def tags(backend: StorageBackend, name: RepositoryName = APP) -> set[str]:
    """The tags of a repository."""
    found: Sequence[str] = [name async for name in walk.children(backend, keyspace.tags(name))]
    return set(found)


def gone(removed: Removed) -> set[Digest]:
    """The images that went."""
    return {one.image.digest for one in removed.going if one.whole}
