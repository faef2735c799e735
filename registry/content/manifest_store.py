"""Manifests of a repository: bytes and media type by digest. Truth on storage.

Whether a manifest is there is asked of the storage at every call; only what its bytes mean is remembered, by digest.
"""

from collections import OrderedDict
from dataclasses import dataclass

from registry.content import keyspace, mediatypes
from registry.content.digest import Digest
from registry.content.errors import ContentCorrupt, ManifestUnknown
from registry.content.manifests import OwnWords, own_words
from registry.content.names import RepositoryName
from registry.content.walk import is_there
from storage_backends.base import StorageBackend
from storage_backends.errors import NotFound

_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as it was pushed."""

    digest: Digest
    media_type: str
    data: bytes
    warning: str | None = None
    """Why this may not be what the place that it was fetched from would say now; for people."""


class ManifestStore:
    """Manifests by repository and digest."""

    def __init__(self, backend: StorageBackend) -> None:
        self._backend = backend
        self._own_words: OrderedDict[Digest, OwnWords] = OrderedDict()

    async def has(self, name: RepositoryName, digest: Digest) -> bool:
        """True if the repository has the manifest, link and bytes."""
        try:
            link = await self._backend.stat(keyspace.revision_link(name, digest))
            await self._backend.stat(keyspace.blob(digest))
        except NotFound:
            return False
        return link.size == len(digest.algorithm) + 1 + len(digest.encoded)

    async def get(self, name: RepositoryName, digest: Digest) -> StoredManifest:
        """The manifest. Raises `ManifestUnknown`, or `ContentCorrupt` if the bytes at rest are others."""
        try:
            link = await self._backend.stat(keyspace.revision_link(name, digest))
            data = (await self._backend.get(keyspace.blob(digest))).data
        except NotFound as error:
            raise unknown(name, digest) from error
        if link.size != len(digest.algorithm) + 1 + len(digest.encoded):
            raise unknown(name, digest)
        if Digest.of(data, digest.algorithm) != digest:
            raise ContentCorrupt(f"the bytes of manifest {digest} at rest have another digest; push the manifest again")
        return StoredManifest(digest, await media_type_of(self._backend, name, digest, self._words(digest, data)), data)

    async def put(self, name: RepositoryName, digest: Digest, data: bytes, media_type: str) -> None:
        """Keep a manifest; durable on return. A reader sees it only when bytes and media type are there."""
        items = [(keyspace.blob(digest), data)]
        words = own_words(data)
        if words.media_type != media_type or (not words.claimed and await self._was_pushed_otherwise(name, digest)):
            items.append((keyspace.media_type(name, digest), media_type.encode()))
        items.append((keyspace.revision_link(name, digest), str(digest).encode()))
        await self._backend.put_many(items)

    async def remove(self, name: RepositoryName, digest: Digest) -> None:
        """Take the manifest out of the repository; the bytes stay for others and for garbage collection.

        So does the media type: it may be that of a push which is under way, and one that comes later says its own.
        """
        await self._backend.delete(keyspace.revision_link(name, digest))

    async def _was_pushed_otherwise(self, name: RepositoryName, digest: Digest) -> bool:
        return await is_there(self._backend, keyspace.media_type(name, digest))

    def _words(self, digest: Digest, data: bytes) -> OwnWords:
        words = self._own_words.get(digest)
        if words is None:
            words = self._own_words[digest] = own_words(data)
            if len(self._own_words) > _REMEMBERED:
                self._own_words.popitem(last=False)
        return words


async def media_type_of(backend: StorageBackend, name: str, digest: Digest, words: OwnWords) -> str:
    """The media type of a manifest that is there and says this of itself."""
    if words.claimed and words.media_type:
        return words.media_type
    try:
        pushed = (await backend.get(keyspace.media_type(name, digest))).data.decode("ascii", "replace")
    except NotFound:
        pushed = ""
    if mediatypes.GRAMMAR.fullmatch(pushed):
        return pushed
    return words.media_type or mediatypes.OCI_MANIFEST


def unknown(name: RepositoryName, digest: Digest) -> ManifestUnknown:
    """The error for a manifest that a repository does not have."""
    return ManifestUnknown(f"manifest {digest} is not in repository {name}", {"digest": str(digest)})
