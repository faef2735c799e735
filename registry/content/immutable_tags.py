"""Tags that stay what they are: which they are, and what they need. Holds no state of its own.

Which tags are meant is told from outside, and may be told differently at any moment.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from registry.content.digest import Digest
from registry.content.errors import ContentCorrupt, ManifestInvalid, ManifestUnknown, TagImmutable
from registry.content.manifest_store import ManifestStore
from registry.content.manifests import parse_manifest
from registry.content.names import RepositoryName, Tag
from registry.content.tag_store import TagStore, immutable

Covers = Callable[[RepositoryName], Callable[[str], bool] | None]
"""For a repository: which tags are immutable; None if none can be."""
_PAGE = 500


def nothing(_: RepositoryName) -> None:
    """No tag is immutable."""


@dataclass(frozen=True, slots=True)
class ImmutableTags:
    """The immutable tags of all repositories."""

    covers: Covers
    tags: TagStore
    manifests: ManifestStore

    def has(self, name: RepositoryName, tag: Tag) -> bool:
        """True if the tag, once it is there, stays what it is."""
        covers = self.covers(name)
        return covers is not None and covers(tag)

    def check_removable(self, name: RepositoryName, tag: Tag) -> None:
        """Raise `TagImmutable` if the tag must not be removed."""
        if self.has(name, tag):
            raise immutable(name, tag)

    async def check_not_needed(self, name: RepositoryName, digest: Digest) -> None:
        """Raise `TagImmutable` if an immutable tag names a manifest or blob, directly or through what it names."""
        async for tag in self._in(name):
            start = await self.tags.find(name, tag)
            if start is not None and await self._needs(name, start, digest):
                raise TagImmutable(
                    f"{digest} is needed by tag {tag!r} of {name}, which is immutable",
                    {"name": str(name), "tag": str(tag), "digest": str(digest)},
                )

    async def _in(self, name: RepositoryName) -> AsyncIterator[Tag]:
        covers = self.covers(name)
        after, more = "", covers is not None
        while covers is not None and more:
            page = await self.tags.page(name, after, _PAGE)
            for text in page.names:
                if covers(text):
                    yield Tag(text)
            more, after = page.more, page.names[-1] if page.names else ""

    async def _needs(self, name: RepositoryName, start: Digest, digest: Digest) -> bool:
        waiting, seen = [start], {start}
        while waiting:
            current = waiting.pop()
            if current == digest:
                return True
            try:
                stored = await self.manifests.get(name, current)
                manifest = parse_manifest(stored.data, stored.media_type)
            except (ManifestUnknown, ManifestInvalid, ContentCorrupt):
                continue  # what is broken or absent already needs nothing
            if any(blob.digest == digest for blob in manifest.blobs):
                return True
            below = {child.digest for child in manifest.manifests} - seen
            seen |= below
            waiting += below
        return False
