"""Tags of a repository: what each names now, and their list in order. Truth on storage; holds no state.

A tag is there if its current link is there and whole: directories that a crash left behind don't count, nor does
what strayed there and is no tag.
"""

import time
from dataclasses import dataclass

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.errors import DigestInvalid, ManifestUnknown, TagChanged, TagImmutable
from registry.content.names import RepositoryName, Tag, is_tag
from registry.content.paging import EVERYTHING, Page, collect, keys
from registry.content.walk import get_if_there, stat_if_there
from storage_backends.base import StorageBackend
from storage_backends.errors import AlreadyExists, NotFound, VersionMismatch


def immutable(name: RepositoryName, tag: Tag) -> TagImmutable:
    """What to raise when a tag that has to stay what it is would be changed."""
    return TagImmutable(
        f"tag {tag!r} of {name} is immutable: push under another tag, or ask whoever runs the registry",
        {"name": str(name), "tag": str(tag)},
    )


def changed(name: RepositoryName, reference: Tag | Digest) -> TagChanged:
    """What to raise when something is not what whoever changes it has seen."""
    return TagChanged(
        f"{reference} of {name} is not what the request's If-Match or If-None-Match says; get it again, then decide",
        {"name": str(name), "reference": str(reference)},
    )


@dataclass(frozen=True, slots=True)
class TagStore:
    """Tags by repository."""

    backend: StorageBackend

    async def resolve(self, name: RepositoryName, tag: Tag) -> Digest:
        """The digest that a tag names. Raises `ManifestUnknown`."""
        digest = await self.find(name, tag)
        if digest is None:
            raise ManifestUnknown(f"tag {tag!r} is not in repository {name}", {"tag": str(tag)})
        return digest

    async def find(self, name: RepositoryName, tag: Tag) -> Digest | None:
        """The digest that a tag names; None if there is no such tag, or its link says nothing."""
        try:
            link = await self.backend.get(keyspace.tag_current(name, tag))
            return Digest.parse(link.data.decode("ascii", "replace"))
        except (NotFound, DigestInvalid):
            return None

    async def age(self, name: RepositoryName, tag: Tag) -> float | None:
        """For how many seconds, by this machine's clock, the tag has named what it names; None if it is not there."""
        found = await stat_if_there(self.backend, keyspace.tag_current(name, tag))
        return time.time() - found.modified if found is not None else None

    async def page(self, name: RepositoryName, after: str, limit: int) -> Page:
        """The tags that come after `after`, in byte order, at most `limit`."""
        prefix = keyspace.tags(name)

        async def is_there(entry: str) -> bool:
            found = await stat_if_there(self.backend, keyspace.tag_current(name, Tag(entry))) if is_tag(entry) else None
            return found is not None and found.size > 0

        return await collect(self.backend, prefix, after, limit, is_there)

    async def move(self, name: RepositoryName, tag: Tag, digest: Digest) -> None:
        """Make the tag name the manifest; durable on return. The last of several writers wins."""
        link = str(digest).encode()
        await self.backend.put_many(
            [(keyspace.tag_index(name, tag, digest), link), (keyspace.tag_current(name, tag), link)]
        )

    async def check_free(self, name: RepositoryName, tag: Tag, digest: Digest) -> None:
        """Raise `TagImmutable` if the tag names another manifest."""
        if await self.find(name, tag) not in (None, digest):
            raise immutable(name, tag)

    async def create(self, name: RepositoryName, tag: Tag, digest: Digest) -> None:
        """Make a tag that is not there yet name the manifest; durable on return. Of several writers one wins.

        Raises `TagImmutable` if it names another one; a link that a crash of another registry left empty is no tag.
        """
        link, key = str(digest).encode(), keyspace.tag_current(name, tag)
        await self.backend.put(keyspace.tag_index(name, tag, digest), link)
        try:
            await self.backend.put(key, link, if_absent=True)
        except AlreadyExists:
            await self.check_free(name, tag, digest)
            try:
                found = await self.backend.get(key)
                if found.data != link:
                    await self.backend.put(key, link, if_match=found.info.version)
            except (NotFound, VersionMismatch) as error:
                raise immutable(name, tag) from error  # somebody else is changing it at this moment

    async def replace(self, name: RepositoryName, tag: Tag, digest: Digest, version: str | None) -> None:
        """Make the tag name the manifest if it is as it was when `version` was read; None: if it is not there.

        Durable on return. Of several writers one wins, for the others it raises `TagChanged`.
        """
        link, key = str(digest).encode(), keyspace.tag_current(name, tag)
        await self.backend.put(keyspace.tag_index(name, tag, digest), link)
        try:
            await self.backend.put(key, link, if_absent=version is None, if_match=version)
        except (AlreadyExists, VersionMismatch) as error:
            raise changed(name, tag) from error

    async def remove(self, name: RepositoryName, tag: Tag) -> None:
        """Remove the tag and its history. The current link goes first: without it the rest is no tag."""
        history = await self._history(name, tag)
        await self.backend.delete_many([keyspace.tag_current(name, tag), *history])

    async def remove_version(self, name: RepositoryName, tag: Tag, version: str) -> bool:
        """As `remove`, if nobody has moved the tag since `version` was read; else it stays, and this is False."""
        history = await self._history(name, tag)
        try:
            await self.backend.delete(keyspace.tag_current(name, tag), if_match=version)
        except VersionMismatch:
            return False  # whoever moved it meant it to be there
        await self.backend.delete_many(history)
        return True

    async def version(self, name: RepositoryName, tag: Tag, digest: Digest) -> str | None:
        """The version of a tag that names this manifest now; None if it is gone or names another."""
        link = await get_if_there(self.backend, keyspace.tag_current(name, tag))
        return link.info.version if link is not None and link.data == str(digest).encode() else None

    async def naming(self, name: RepositoryName, digest: Digest) -> list[Tag]:
        """All tags that name the manifest now."""

        async def names_it(entry: str) -> bool:
            return is_tag(entry) and await self.find(name, Tag(entry)) == digest

        page = await collect(self.backend, keyspace.tags(name), "", EVERYTHING, names_it)
        return [Tag(entry) for entry in page.names]

    async def _history(self, name: RepositoryName, tag: Tag) -> list[str]:
        current = keyspace.tag_current(name, tag)
        return [key async for key in keys(self.backend, keyspace.tag(name, tag)) if key != current]
