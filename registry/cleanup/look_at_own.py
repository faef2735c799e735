"""A look at what Cargohold keeps of a repository beside distribution's files: media types and referrers. Reads only."""

import json
from collections.abc import Mapping

from registry.cleanup.findings import Collect, Finding, Kind, Reindex, Remove
from registry.cleanup.inventory import Inventory
from registry.content import keyspace, mediatypes, paging, walk
from registry.content.digest import Digest
from storage_backends.base import StorageBackend, StoredObject

_REPAIR = "repair it with `cargohold fsck --repair`"


class LookAtOwn:
    """A look at the repository whose manifests are in `found`. What is younger than `since` may belong to a push."""

    def __init__(self, backend: StorageBackend, found: Inventory, since: float) -> None:
        self.findings: list[Finding] = []
        self._backend = backend
        self._found = found
        self._since = since

    async def run(self) -> None:
        """Look; what was found is in `findings`."""
        name = self._found.name
        async for entry in walk.by_digest(self._backend, keyspace.media_types(name), ""):
            await self._media_type(entry)
        entered: set[tuple[Digest, Digest]] = set()
        async for key in paging.keys(self._backend, keyspace.all_referrers(name)):
            pair = await self._referrer(key)
            if pair is not None:
                entered.add(pair)
        if await self._get(keyspace.referrers_complete(name)) is not None:
            self._missing(entered)

    async def _media_type(self, entry: walk.Entry) -> None:
        found = await self._get(entry.key)
        if found is None or entry.digest is None:
            return
        if entry.digest not in self._found.images:
            self._stale(found, entry.digest, f"the media type of manifest {entry.digest}, which is not there")
        elif not mediatypes.GRAMMAR.fullmatch(found.data.decode("ascii", "replace")):
            self.findings.append(
                Finding(
                    "broken entry",
                    entry.key,
                    self._found.name,
                    f"what is kept as the media type of manifest {entry.digest} is none",
                    f"{_REPAIR}: the manifest's own words count then",
                    repair=Remove(entry.key, found.info.version),
                )
            )

    async def _referrer(self, key: str) -> tuple[Digest, Digest] | None:
        """The subject and the referrer that an entry is about, if it is of use."""
        algorithm, _, rest = key.removeprefix(keyspace.all_referrers(self._found.name)).partition("/")
        encoded, _, text = rest.partition("/")
        subject, digest = walk.parsed(f"{algorithm}:{encoded}"), walk.parsed(text)
        if digest is None or subject is None:
            self.findings.append(
                Finding(
                    "stray file", key, self._found.name, "nothing reads this file", "remove it if you know what it is"
                )
            )
            return None
        found = await self._get(key)
        if found is None:
            return None
        if digest not in self._found.images:
            self._stale(found, digest, f"an entry of referrer {digest}, which is not there")
        elif not _describes(found.data, digest):
            self._reindex("broken entry", key, f"the entry of referrer {digest} is damaged")
        return subject, digest

    def _missing(self, entered: set[tuple[Digest, Digest]]) -> None:
        for image in self._found.images.values():
            subject = image.subject
            if subject is not None and (subject, image.digest) not in entered:
                key = keyspace.referrer(self._found.name, subject, image.digest)
                self._reindex("missing entry", key, f"{image.digest} is not listed among what refers to {subject}")

    def _reindex(self, kind: Kind, key: str, what: str) -> None:
        self.findings.append(Finding(kind, key, self._found.name, what, _REPAIR, repair=Reindex()))

    def _stale(self, found: StoredObject, digest: Digest, what: str) -> None:
        if found.info.modified < self._since:
            advice = "nothing is lost; garbage collection removes it"
            key = found.info.key
            self.findings.append(
                Finding("stale entry", key, self._found.name, what, advice, repair=Collect(key, digest))
            )

    async def _get(self, key: str) -> StoredObject | None:
        return await walk.get_if_there(self._backend, key)


def _describes(data: bytes, digest: Digest) -> bool:
    """True if these bytes are a descriptor of it."""
    try:
        entry = json.loads(data)
    except ValueError:
        return False
    return isinstance(entry, Mapping) and entry.get("digest") == str(digest) and isinstance(entry.get("mediaType"), str)
