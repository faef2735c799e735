"""Removing images by name, as `docker rmi` does: a tag goes; and when nothing needs the image any more, the image.

What needs an image can be seen from outside as far as tags reach: a tag that names it, or an index that a tag names, or
an artifact with a tag that refers to it. It is read in one look at all tags of the repository.
"""

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from registry.browse.side_by_side import in_order
from registry.content import mediatypes
from registry.content.digest import Digest
from registry.content.errors import ContentError, ManifestInvalid, ManifestUnknown
from registry.content.manifest_store import StoredManifest
from registry.content.manifests import parse_manifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.places import Removable, Source

_DEEPEST = 16
_NOBODY = Digest.of(b"")


class Place(Source, Removable, Protocol):
    """A place that can be read, and from which images can be removed."""


class Conflict(ContentError):
    """The image is needed; it goes if that is forced."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes with one reference: tags alone, or `digests` with all `tags` that name the first of them. `kept` says
    why the image stays if it does.
    """

    tags: Sequence[Tag] = ()
    digests: Sequence[Digest] = ()
    kept: str = ""


@dataclass(slots=True)
class Repository:
    """The tags of a repository and what each names; of manifests what they hold, and what they refer to; tags that are
    `lost`, for their manifest is gone.
    """

    name: RepositoryName
    tags: dict[Tag, Digest] = field(default_factory=dict)
    children: dict[Digest, Sequence[Digest]] = field(default_factory=dict)
    subjects: dict[Digest, Digest] = field(default_factory=dict)
    lost: set[Reference] = field(default_factory=set)
    _last: tuple[frozenset[Reference], Mapping[Digest, Tag]] | None = None

    def naming(self, digest: Digest) -> Sequence[Tag]:
        """All tags that name it."""
        return [tag for tag, named in self.tags.items() if named == digest]

    def in_order(self, wanted: Sequence[Reference]) -> Sequence[Reference]:
        """The references in the order in which to remove them: what holds others first, so that what cannot go after
        all still has what it needs.
        """
        return sorted(wanted, key=lambda reference: not self.children.get(self._named(reference) or _NOBODY))

    def going(self, wanted: Sequence[Reference], *, force: bool) -> set[Reference]:
        """Those of the references that do go: without those in conflict, and those that then are in conflict."""
        going, seen = set(wanted), -1
        while len(going) != seen:
            seen = len(going)
            for reference in [each for each in going if isinstance(each, Digest)]:
                try:
                    self.plan(reference, going, force=force, keep=False)
                except ContentError:
                    going.discard(reference)
        return going

    def plan(self, reference: Reference, going: Set[Reference], *, force: bool, keep: bool) -> Removal:
        """What goes with a reference, when all of `going` go; with `keep` the tag alone. Raises `ManifestUnknown`, and
        `Conflict` unless it is forced.
        """
        if isinstance(reference, Tag) and reference in self.lost:
            return Removal([reference])
        digest = self._named(reference)
        if digest is None or digest not in self.children:
            raise ManifestUnknown(f"{reference} is not in repository {self.name}")
        naming = self.naming(digest)
        needed = self._needed(frozenset(going))
        if isinstance(reference, Tag):
            if keep or digest in needed:
                return Removal([reference], kept="" if keep else self._why(needed[digest], digest))
            return Removal(naming, self._going(digest, needed))
        others = [tag for tag in naming if tag not in going]
        if others and not force:
            names = ", ".join(f"{self.name}:{tag}" for tag in others[:5]) + (" and more" if len(others) > 5 else "")
            raise Conflict(f"unable to delete {digest} (must be forced): it has tags, {names}")
        if digest in needed and not force:
            raise Conflict(f"unable to delete {digest} (must be forced): {self._why(needed[digest], digest)}")
        return Removal(naming, self._going(digest, needed))

    def _named(self, reference: Reference) -> Digest | None:
        return reference if isinstance(reference, Digest) else self.tags.get(reference)

    def _needed(self, going: frozenset[Reference]) -> Mapping[Digest, Tag]:
        """What the tags need that stay, each with one of the tags that need it."""
        if self._last is not None and self._last[0] == going:
            return self._last[1]
        found: dict[Digest, Tag] = {}
        for tag, named in self.tags.items():
            if tag in going or named in going:
                continue
            subject = self.subjects.get(named)
            for digest in (*self._with_children(named), *(self._with_children(subject) if subject else ())):
                found.setdefault(digest, tag)
        self._last = going, found
        return found

    def _with_children(self, digest: Digest) -> Sequence[Digest]:
        found, waiting = {digest: None}, [digest]
        while waiting:
            new = [each for each in self.children.get(waiting.pop(), ()) if each not in found]
            found.update(dict.fromkeys(new))
            waiting += new
        return list(found)

    def _going(self, digest: Digest, needed: Mapping[Digest, Tag]) -> Sequence[Digest]:
        """The image, and of an index its images that nothing else needs."""
        return [digest, *(each for each in self._with_children(digest)[1:] if each not in needed)]

    def _why(self, tag: Tag, digest: Digest) -> str:
        return f"{self.name}:{tag} " + ("names it, too" if self.tags[tag] == digest else "needs it")


async def look_at(place: Source, name: RepositoryName, going: Sequence[Reference]) -> Repository:
    """Look at these tags alone: enough to remove them and nothing else. Raises what the place raises: `NameUnknown` if
    one of them is not there, nor the repository.
    """
    repository = Repository(name)
    for tag in (reference for reference in going if isinstance(reference, Tag)):
        try:
            repository.tags[tag] = digest = await place.resolve(name, tag)
            repository.children[digest] = ()
        except ManifestUnknown:
            repository.lost.add(tag)
    if repository.lost:
        repository.lost &= {tag async for tag in place.tags(name)}
    return repository


async def look(place: Source, name: RepositoryName, going: Sequence[Reference]) -> Repository:
    """Look at all tags of a repository, and at what they need and the digests among `going`. Raises `NameUnknown`, and
    what the place raises.
    """
    repository = Repository(name)

    async def tagged(tag: Tag) -> tuple[Tag, StoredManifest | None]:
        try:
            return tag, await place.manifest(name, tag)
        except ManifestUnknown:
            return tag, None  # gone before its tag, or meanwhile

    async for tag, stored in in_order(tagged, place.tags(name)):
        if stored is not None:
            repository.tags[tag] = stored.digest
            await _read(place, repository, stored)
        else:
            repository.lost.add(tag)
    for digest in (reference for reference in going if isinstance(reference, Digest)):
        await _read_if_there(place, repository, digest)
    return repository


async def _read(place: Source, repository: Repository, stored: StoredManifest, depth: int = 0) -> None:
    """Note what a manifest holds, all the way down, and what it refers to."""
    if stored.digest in repository.children:
        return
    repository.children[stored.digest] = ()
    try:
        manifest = parse_manifest(stored.data, stored.media_type)
    except ManifestInvalid:
        return  # such as schema 1, of a tree that another registry wrote
    children = [child for child in manifest.manifests if child.media_type in mediatypes.MANIFESTS]
    repository.children[stored.digest] = [child.digest for child in children]
    if manifest.subject is not None:
        repository.subjects[stored.digest] = manifest.subject.digest
        await _read_if_there(place, repository, manifest.subject.digest, depth + 1)
    for child in children:
        if child.media_type in mediatypes.INDEXES:
            await _read_if_there(place, repository, child.digest, depth + 1)


async def _read_if_there(place: Source, repository: Repository, digest: Digest, depth: int = 0) -> None:
    if depth <= _DEEPEST and digest not in repository.children:
        with suppress(ManifestUnknown):  # an index need not have all of its images
            await _read(place, repository, await place.manifest(repository.name, digest), depth)


async def remove(place: Removable, name: RepositoryName, removal: Removal) -> None:
    """Carry it out; what somebody else has removed meanwhile is gone as well. Raises `TagImmutable`, and what the place
    raises.

    With an image go the tags that name it at that moment, so a tag that was moved meanwhile stays. The image goes
    before what it holds: stopped in the middle, no index names what is not there.
    """
    for digest in removal.digests:
        with suppress(ManifestUnknown):
            await place.delete_manifest(name, digest)
    if not removal.digests:
        for tag in removal.tags:
            with suppress(ManifestUnknown):
                await place.delete_tag(name, tag)
