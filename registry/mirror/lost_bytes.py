"""A place elsewhere as who looks for lost bytes sees it: under our names, and failing in the domain's words."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from registry.content.digest import Digest
from registry.content.errors import NameUnknown, PlaceUnavailable
from registry.content.manifest_store import StoredManifest
from registry.content.names import Reference, RepositoryName
from registry.content.places import OpenBlob, Source
from registry.mirror.errors import MirrorError


class LostBytes:
    """What `source` has; with a `prefix` (`hub/`) it calls `alpine` what is `hub/alpine` here, and has nothing else."""

    def __init__(self, source: Source, prefix: str = "") -> None:
        self._source = source
        self._prefix = prefix

    async def manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
        """See `Source`. Raises also `PlaceUnavailable`."""
        with _in_our_words():
            return await self._source.manifest(self._there(name), reference)

    @asynccontextmanager
    async def blob(self, name: RepositoryName, digest: Digest) -> AsyncIterator[OpenBlob]:
        """See `Source`. Raises also `PlaceUnavailable`."""
        with _in_our_words():
            async with self._source.blob(self._there(name), digest) as opened:
                yield opened

    def _there(self, name: RepositoryName) -> RepositoryName:
        if not name.startswith(self._prefix):
            raise NameUnknown(f"{name} does not begin with {self._prefix}")
        return RepositoryName.parse(name.removeprefix(self._prefix))


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except MirrorError as error:
        raise PlaceUnavailable(error.message) from error
