"""What was deleted and can still be restored: a record of each deletion of a manifest or of tags. Truth on storage.

Whoever deletes writes the record first and removes links and tags then; the collector reads a repository's manifests
first and its records then. So one of the two is always seen, and for as long as a record is younger than the grace
period the bytes and links that its manifest needs stay. Knows storage keys; restores nothing (`cleanup.restore` does).
"""

import json
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.errors import DigestInvalid, ManifestInvalid
from registry.content.manifest_store import StoredManifest
from registry.content.manifests import parse_manifest
from registry.content.paging import keys
from registry.content.side_by_side import batches, side_by_side
from storage_backends.base import StorageBackend
from storage_backends.errors import NotFound, StorageFull

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Deleted:
    """One deletion: of a manifest with the tags that named it, or (without a media type) of tags alone.

    `subject` is what the manifest refers to. `when` (seconds since the epoch, by the storage's clock) and `key` are
    known of what was read from storage.
    """

    repository: str
    digest: Digest
    tags: tuple[str, ...] = ()
    media_type: str = ""
    subject: Digest | None = None
    when: float = 0.0
    key: str = ""


def of_manifest(repository: str, stored: StoredManifest, tags: Sequence[str]) -> Deleted:
    """What is to be kept of a manifest that goes with these tags."""
    subject = None
    with suppress(ManifestInvalid):  # of a kind that has no subject
        found = parse_manifest(stored.data, stored.media_type).subject
        subject = found.digest if found is not None else None
    return Deleted(repository, stored.digest, tuple(tags), stored.media_type, subject)


class Trash:
    """The records of one storage. With a `grace` of zero seconds nothing is kept."""

    def __init__(self, backend: StorageBackend, grace: float) -> None:
        self._backend = backend
        self._grace = grace

    async def keep(self, deleted: Deleted) -> None:
        """Write a record, before anything is removed; durable on return.

        Where there is no room for it the deletion goes on without: whoever deletes there needs the room.
        """
        for key, data in self.records([deleted]):
            try:
                await self._backend.put(key, data)
            except StorageFull:
                _log.warning("the storage is full: %s@%s cannot be restored", deleted.repository, deleted.digest)

    def records(self, deleted: Sequence[Deleted]) -> list[tuple[str, bytes]]:
        """The records as (key, data), for whoever writes many of them at a time, before anything is removed."""
        if self._grace <= 0:
            return []
        return [(keyspace.deleted(one.repository, one.digest, uuid.uuid4().hex), _dump(one)) for one in deleted]

    async def of(self, repository: str) -> AsyncIterator[Deleted]:
        """All records of a repository, also those whose time is over, in the order of digests."""
        async for batch in batches(self._backend, keys(self._backend, keyspace.trash(repository)), 64):
            for found in await side_by_side(self._backend, self._read, batch):
                if found is not None:
                    yield found

    async def _read(self, key: str) -> Deleted | None:
        digest = digest_of(key)
        try:
            stored = await self._backend.get(key)
            said = json.loads(stored.data)
            subject = Digest.parse(said["subject"]) if said["subject"] else None
            tags, media_type = tuple(map(str, said["tags"])), str(said["mediaType"])
        except (NotFound, ValueError, LookupError, TypeError, DigestInvalid):
            return None  # removed meanwhile, or nothing that we have written
        if digest is None:
            return None
        repository = key.removeprefix(keyspace.OWN_REPOSITORIES).rpartition("/_trash/")[0]
        return Deleted(repository, digest, tags, media_type, subject, stored.info.modified, key)


def digest_of(key: str) -> Digest | None:
    """The digest that a record is about; None if the key is none of ours."""
    algorithm, _, rest = key.rpartition("/_trash/")[2].partition("/")
    try:
        return Digest.parse(f"{algorithm}:{rest.partition('/')[0]}")
    except DigestInvalid:
        return None


def _dump(deleted: Deleted) -> bytes:
    subject = str(deleted.subject) if deleted.subject is not None else ""
    return json.dumps({"mediaType": deleted.media_type, "tags": deleted.tags, "subject": subject}).encode()
