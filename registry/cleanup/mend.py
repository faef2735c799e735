"""Brings bytes back that were lost, from a place that has them. Nothing wrong becomes visible."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from registry.cleanup.hit import Hit
from registry.content import keyspace
from registry.content.bodies import pour
from registry.content.digest import Digest
from registry.content.errors import (
    BlobUnknown,
    ContentCorrupt,
    DigestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
)
from registry.content.manifest_store import StoredManifest
from registry.content.names import Reference, RepositoryName
from registry.content.places import OpenBlob
from registry.content.verifying import verified
from storage_backends.base import StorageBackend

_NOT_THERE = (BlobUnknown, ManifestUnknown, NameUnknown)
_WRONG = (ContentCorrupt, DigestInvalid, SizeInvalid)


class Holder(Protocol):
    """Of a `Source` what mending needs."""

    async def manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
        """See `Source`."""
        ...

    def blob(self, name: RepositoryName, digest: Digest) -> AbstractAsyncContextManager[OpenBlob]:
        """See `Source`."""
        ...


async def mend(backend: StorageBackend, holder: Holder, digest: Digest, hit: Hit) -> bool:
    """Fetch a blob or manifest that `hit` says is needed; False if the place does not have it, or has other bytes.

    Its links are there: only the bytes were taken away. The place is asked under the names of the repositories that
    need it. Raises what else the place raises: a `ContentError`.
    """
    for text in hit.repositories:
        try:
            name = RepositoryName.parse(text)
            if hit.is_manifest:
                await _manifest(backend, holder, name, digest)
            else:
                await _blob(backend, holder, name, digest)
        except (NameInvalid, *_NOT_THERE, *_WRONG):
            continue
        return True
    return False


async def _manifest(backend: StorageBackend, holder: Holder, name: RepositoryName, digest: Digest) -> None:
    data = (await holder.manifest(name, digest)).data
    if Digest.of(data, digest.algorithm) != digest:
        raise ContentCorrupt(f"the place has other bytes for manifest {digest}")
    await backend.put(keyspace.blob(digest), data)


async def _blob(backend: StorageBackend, holder: Holder, name: RepositoryName, digest: Digest) -> None:
    key = keyspace.blob(digest)
    async with holder.blob(name, digest) as opened, backend.new_upload(key) as upload:
        await pour(verified(digest, opened.size, opened.blocks), upload.write)
        await upload.commit(key)
