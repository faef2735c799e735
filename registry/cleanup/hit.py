"""Which images need some blobs: for people who have to know what is broken, and for whoever brings the bytes back."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from registry.cleanup import inventory
from registry.cleanup.inventory import Image, Inventory, Step
from registry.cleanup.mark import DigestSet
from registry.content import keyspace, walk
from registry.content.digest import Digest
from storage_backends.base import StorageBackend


@dataclass(slots=True)
class Hit:
    """What one blob is needed by: `images` as `repository:tag@digest` (`repository@digest` without a tag); the
    repositories that name it; whether it is itself a manifest there. Each once, in order.
    """

    images: dict[str, None] = field(default_factory=dict)
    repositories: dict[str, None] = field(default_factory=dict)
    is_manifest: bool = False


async def images_hit(backend: StorageBackend, digests: Iterable[Digest], step: Step) -> Mapping[Digest, Hit]:
    """What needs each of the digests, in all repositories, one after the other; a `step` now and then."""
    hits = {digest: Hit() for digest in digests}
    if hits:
        async for name in walk.names(backend, keyspace.REPOSITORIES):
            _add(hits, await inventory.read(backend, name, step))
    return hits


async def missing(backend: StorageBackend, looked_at: Callable[[str], bool], step: Step) -> Sequence[Digest]:
    """What repositories link and need, and whose bytes are not there; `looked_at` says of a name whether it counts.

    What a repository needs and does not link it has never had: platforms that were left out, layers of a mirror.
    """
    seen, lost = DigestSet(), []
    async for name in walk.names(backend, keyspace.REPOSITORIES):
        if not looked_at(name):
            continue
        found = await inventory.read(backend, name, step)
        needed = {digest for image in found.images.values() for digest in image.named}
        links = [one.digest async for one in walk.by_digest(backend, keyspace.layers(name), "/link")]
        for digest in (*found.images, *(link for link in links if link in needed)):
            if digest is not None and digest not in seen:
                seen.add(digest)
                if not await walk.is_there(backend, keyspace.blob(digest)):
                    lost.append(digest)
                await step()
    return lost


def references(image: Image) -> list[str]:
    """What people call an image: a line for each tag."""
    names = [f"{image.repository}:{tag}" for tag in image.tags] or [image.repository]
    return [f"{name}@{image.digest}" for name in names]


def called(found: Inventory) -> Mapping[Digest, Sequence[str]]:
    """What people call each image of a repository, and each index that holds it."""
    names = {digest: references(image) for digest, image in found.images.items()}
    own = dict(names)
    for image in found.images.values():
        for child in found.children.get(image.digest, ()):
            names[child] = [*names[child], *own[image.digest]]
    return names


def _add(hits: Mapping[Digest, Hit], found: Inventory) -> None:
    names = called(found)
    for image in found.images.values():
        for digest in {image.digest, *image.named} & hits.keys():
            hit = hits[digest]
            hit.is_manifest = hit.is_manifest or digest == image.digest
            hit.repositories[found.name] = None
            hit.images |= dict.fromkeys(names[image.digest])
