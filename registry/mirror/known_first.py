"""A source that does not ask for what is known: manifests by digest are read from the target where it has them.

So an image that has not changed costs its registry a HEAD for each tag, and no pull. Knows places, not what they are.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from registry.content.digest import Digest
from registry.content.errors import ContentError, ManifestUnknown
from registry.content.manifest_store import StoredManifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.places import OpenBlob, Referrer, Source
from registry.mirror.errors import MirrorError
from registry.mirror.selection import is_companion


class KnownFirst:
    """`source`, with what `target` has of it; `naming` gives the name of a repository there."""

    def __init__(self, source: Source, target: Source, naming: Callable[[RepositoryName], RepositoryName]) -> None:
        self._source = source
        self._target = target
        self._naming = naming
        self._companions: dict[RepositoryName, frozenset[Tag]] = {}

    def know_tags(self, name: RepositoryName, tags: frozenset[Tag]) -> None:
        """All tags of a repository: of those that belong to images no other is asked for."""
        self._companions[name] = frozenset(tag for tag in tags if is_companion(tag))

    def repositories(self) -> AsyncIterator[RepositoryName]:
        """See `Source`."""
        return self._source.repositories()

    def tags(self, name: RepositoryName) -> AsyncIterator[Tag]:
        """See `Source`."""
        return self._source.tags(name)

    async def resolve(self, name: RepositoryName, reference: Reference) -> Digest:
        """See `Source`."""
        known = self._companions.get(name)
        if isinstance(reference, Tag) and known is not None and is_companion(reference) and reference not in known:
            raise ManifestUnknown(f"{reference} is not among the tags of {name}")
        return await self._source.resolve(name, reference)

    async def manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
        """See `Source`."""
        if isinstance(reference, Digest):
            try:
                return await self._target.manifest(self._naming(name), reference)
            except (ContentError, MirrorError):
                pass  # what the target does not have whole comes from the source
        return await self._source.manifest(name, reference)

    def blob(self, name: RepositoryName, digest: Digest, start: int = 0) -> AbstractAsyncContextManager[OpenBlob]:
        """See `Source`."""
        return self._source.blob(name, digest, start)

    def referrers(self, name: RepositoryName, subject: Digest) -> AsyncIterator[Referrer]:
        """See `Source`."""
        return self._source.referrers(name, subject)
