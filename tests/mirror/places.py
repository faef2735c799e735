"""What tests of places have in common: images into a place and out of it, every byte compared."""

from collections.abc import AsyncIterator
from typing import Protocol

from registry.content.digest import Digest
from registry.content.manifest_store import StoredManifest
from registry.content.names import RepositoryName, Tag
from registry.content.places import Source, Target
from registry.content.verifying import verified
from tests.images import Content, Image, Index, all_contents

NAME = RepositoryName.parse("team/app")


class Place(Source, Target, Protocol):
    """Both."""


async def blocks(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def stored(content: Content) -> StoredManifest:
    return StoredManifest(Digest.parse(content.digest), content.media_type, content.data)


async def push(place: Target, name: RepositoryName, value: Image | Index, *tags: str) -> Digest:
    """Put an image or index into a place, as a client would."""
    manifests = {each.manifest.digest for each in (value.images if isinstance(value, Index) else ())}
    for content in all_contents(value):
        digest = Digest.parse(content.digest)
        if content.digest in manifests:
            await place.put_manifest(name, stored(content))
        elif content is not value.manifest:
            await place.put_blob(name, digest, len(content.data), blocks(content.data))
    await place.put_manifest(name, stored(value.manifest), [Tag(tag) for tag in tags])
    return Digest.parse(value.manifest.digest)


async def read_blob(place: Source, name: RepositoryName, content: Content) -> bytes:
    """A blob out of a place, compared with its digest."""
    digest = Digest.parse(content.digest)
    async with place.blob(name, digest) as opened:
        return b"".join([block async for block in verified(digest, opened.size, opened.blocks)])
