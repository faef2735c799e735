"""Space by repository, each blob counted once: whose alone it is, what is shared, what removing unneeded images gives.

Takes what it is told, repository by repository; knows no place. Of a blob 64 bits of its digest are kept, its owner,
and whether an image with a tag needs it: some 100 MB for a million blobs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from registry.content.digest import Digest

_SHARED = -1


@dataclass(slots=True)
class Space:
    """What one repository takes, in bytes: `own` and `shared` together are its `size`. `reclaimable` is what it alone
    needs for images without a tag.
    """

    repository: str
    tags: int = 0
    images: int = 0
    size: int = 0
    own: int = 0
    shared: int = 0
    reclaimable: int = 0


@dataclass(slots=True)
class Usage:
    """All repositories so far. `tagged` are the bytes that images with tags need, `untagged` those that only others do;
    each blob once.
    """

    spaces: list[Space] = field(default_factory=list)
    blobs: int = 0
    tagged: int = 0
    untagged: int = 0
    _owners: dict[int, tuple[int, bool]] = field(default_factory=dict)

    def __contains__(self, digest: Digest) -> bool:
        return _key(digest) in self._owners

    def add(self, repository: str, tags: int, images: int, blobs: Mapping[Digest, tuple[int, bool]]) -> None:
        """A repository with its blobs: the size of each, and whether an image with a tag needs it."""
        space = Space(repository, tags, images)
        place = len(self.spaces)
        self.spaces.append(space)
        for digest, (size, is_tagged) in blobs.items():
            space.size += size
            found = self._owners.get(_key(digest))
            if found is None:
                self._first(space, size, is_tagged=is_tagged)
                self._owners[_key(digest)] = (place, is_tagged)
            else:
                self._once_more(space, size, found, is_tagged=is_tagged)
                self._owners[_key(digest)] = (_SHARED, found[1] or is_tagged)

    def _first(self, space: Space, size: int, *, is_tagged: bool) -> None:
        self.blobs += 1
        space.own += size
        if is_tagged:
            self.tagged += size
        else:
            self.untagged += size
            space.reclaimable += size

    def _once_more(self, space: Space, size: int, found: tuple[int, bool], *, is_tagged: bool) -> None:
        space.shared += size
        owner, was_tagged = found
        if owner != _SHARED:
            first = self.spaces[owner]
            first.own -= size
            first.shared += size
            first.reclaimable -= 0 if was_tagged else size
        if is_tagged and not was_tagged:
            self.untagged -= size
            self.tagged += size


def _key(digest: Digest) -> int:
    return int(digest.encoded[:16], 16)
