"""The images of a place as a list, filtered as `docker images` does, the newest first."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from registry.browse.filters import Filters
from registry.browse.images import Image, Images
from registry.browse.side_by_side import in_order
from registry.content.digest import Digest
from registry.content.errors import ManifestUnknown, NameUnknown
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.places import Source

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """An image of the list. `size` in bytes, compressed; `notes` say what is wrong with it."""

    repository: RepositoryName
    tag: Tag | None
    digest: Digest
    id: Digest
    platform: str
    created: datetime | None
    size: int
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to list. The times are what the filters `before` and `since` stand for; `host` may stand in front of a
    repository in a pattern; `untagged` gives the images of a repository that no tag needs, where that is known.
    """

    filters: Filters
    created_before: datetime | None = None
    created_since: datetime | None = None
    every_platform: bool = False
    host: str = ""
    untagged: Callable[[RepositoryName], Awaitable[Sequence[Digest]]] | None = None


class Listing:
    """One list; `images` reads what `source` has."""

    def __init__(self, source: Source, images: Images, wanted: Wanted) -> None:
        self._source = source
        self._images = images
        self._wanted = wanted

    async def of_repositories(self) -> AsyncIterator[Sequence[Row]]:
        """All images of all repositories that we may see, some at a time."""
        async for rows in in_order(self._rows, self._all_names()):
            yield rows

    async def of_repository(self, name: RepositoryName) -> AsyncIterator[Sequence[Row]]:
        """All images of one repository. Raises `NameUnknown`."""
        async for rows in in_order(self._rows, self._names(name)):
            yield rows

    async def of_image(self, name: RepositoryName, reference: Reference) -> Sequence[Row]:
        """One image, which has to be there. Raises `ManifestUnknown`."""
        return await self._opened(name, reference)

    async def _all_names(self) -> AsyncIterator[tuple[RepositoryName, Reference]]:
        async for name in self._source.repositories():
            try:
                async for item in self._names(name):
                    yield item
            except NameUnknown:
                continue  # gone meanwhile, or it has no tags

    async def _names(self, name: RepositoryName) -> AsyncIterator[tuple[RepositoryName, Reference]]:
        filters, host = self._wanted.filters, self._wanted.host
        if filters.dangling is not True:
            async for tag in self._source.tags(name):
                if filters.takes_names(*(f"{at}{name}{end}" for at in ("", host) for end in ("", f":{tag}"))):
                    yield name, tag
        if self._wanted.untagged is not None and filters.takes_names(name, f"{host}{name}"):
            for digest in await self._wanted.untagged(name):
                yield name, digest

    async def _rows(self, item: tuple[RepositoryName, Reference]) -> Sequence[Row]:
        try:
            return await self._opened(*item)
        except ManifestUnknown:
            return ()  # gone meanwhile

    async def _opened(self, name: RepositoryName, reference: Reference) -> Sequence[Row]:
        if self._wanted.every_platform:
            images = await self._images.open_all(name, reference)
        else:
            images = [await self._images.open(name, reference)]
        tag = reference if isinstance(reference, Tag) else None
        return [_row(image, tag) for image in images if self._takes(image)]

    def _takes(self, image: Image) -> bool:
        wanted = self._wanted
        created = image.created or _LONG_AGO
        if wanted.created_before is not None and created >= wanted.created_before:
            return False
        if wanted.created_since is not None and created <= wanted.created_since:
            return False
        labels = image.config.labels if image.config is not None else {}
        return wanted.filters.takes_labels({**image.manifest.annotations, **labels})


def newest_first(rows: Sequence[Row]) -> Sequence[Row]:
    """The rows in docker's order; those of one time by their names."""
    by_name = sorted(rows, key=lambda row: (row.repository, row.tag or "", row.platform))
    return sorted(by_name, key=lambda row: row.created or _LONG_AGO, reverse=True)


def _row(image: Image, tag: Tag | None) -> Row:
    platform = str(image.platform or "")
    return Row(image.repository, tag, image.digest, image.id, platform, image.created, image.size, image.notes)
