"""Brings bytes back that were lost, from a place that has them. Nothing wrong becomes visible."""

from collections.abc import AsyncIterator

from registry.cleanup.hit import Hit
from registry.content import keyspace
from registry.content.bodies import pour
from registry.content.digest import Digest, Hasher
from registry.content.errors import BlobUnknown, ManifestUnknown, NameInvalid, NameUnknown
from registry.content.names import RepositoryName
from registry.content.places import Source
from storage_backends.base import StorageBackend


async def mend(backend: StorageBackend, source: Source, digest: Digest, hit: Hit) -> bool:
    """Fetch a blob or manifest that `hit` says is needed; False if the place does not have it, or has other bytes.

    Its links are there: only the bytes were taken away. The place is asked under the names of the repositories that
    need it. Raises what else the place raises: a `ContentError`.
    """
    for text in hit.repositories:
        try:
            name = RepositoryName.parse(text)
        except NameInvalid:
            continue  # no place can have it under that name
        try:
            if hit.is_manifest and await _manifest(backend, source, name, digest):
                return True
            if not hit.is_manifest and await _blob(backend, source, name, digest):
                return True
        except (BlobUnknown, ManifestUnknown, NameUnknown):
            continue  # not there
    return False


async def _manifest(backend: StorageBackend, source: Source, name: RepositoryName, digest: Digest) -> bool:
    data = (await source.manifest(name, digest)).data
    if Digest.of(data, digest.algorithm) != digest:
        return False
    await backend.put(keyspace.blob(digest), data)
    return True


async def _blob(backend: StorageBackend, source: Source, name: RepositoryName, digest: Digest) -> bool:
    key = keyspace.blob(digest)
    async with source.blob(name, digest) as opened, backend.new_upload(key) as upload:
        hasher = Hasher(digest.algorithm)

        def take(block: memoryview) -> None:
            hasher.update(block)
            upload.write(block)

        await pour(_at_most(opened.blocks, opened.size), take)
        if hasher.digest() != digest:
            return False
        await upload.commit(key)
    return True


async def _at_most(blocks: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """A place that sends more than it has said shall not fill the storage."""
    left = size
    async for block in blocks:
        left -= len(block)
        if left < 0:
            return
        yield block
