"""Keeps images at one place as they are at another: what to copy is found out here, and copied by `mirror.copy`.

Knows places, selections and names; prints nothing. A repository, a tag or an image that fails is written down, and does
not stop the others. Tags that name the same manifest are one image, and a tag that is right already is not touched.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from registry.content.digest import Digest
from registry.content.errors import ContentError, ManifestUnknown, NameUnknown
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.places import Source, Target
from registry.content.side_by_side import in_batches
from registry.mirror.copy import Copying, Options
from registry.mirror.errors import MirrorError, UpstreamDenied
from registry.mirror.known_first import KnownFirst
from registry.mirror.progress import Event, ImageDone, ImageFailed, Report, Wanted
from registry.mirror.selection import Naming, Selection
from storage_backends.errors import StorageError

Status = Literal["copied", "tagged", "unchanged", "failed"]
_SIDE_BY_SIDE = 8
K = TypeVar("K")
V = TypeVar("V")
Taken = dict[tuple[str, RepositoryName, Tag], tuple[str, Digest]]
"""Of each tag of a target (its host comes first), from where a run has brought it, and what it names."""
_FAILURES = (ContentError, MirrorError, StorageError)


class SyncTarget(Source, Target, Protocol):
    """Where images go: what is there already is looked at first."""


@dataclass(frozen=True, slots=True)
class Task:
    """Which images to bring from where to where; `host` and `target_host` are what people call the two places, empty
    for our own storage.
    """

    host: str
    source: Source
    target_host: str
    target: SyncTarget
    selection: Selection
    naming: Naming
    options: Options


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an image, or would become of it in a dry run; `size` is what was copied of it, in bytes.

    Without a digest it is about the tags, or without these about the repository.
    """

    source: str
    target: str
    tags: tuple[str, ...]
    digest: Digest | None
    status: Status
    size: int = 0
    error: str = ""


class Sync:
    """One task. `told` hears what became of each image, `report` of each step on the way; tasks of one run share what
    is `taken`.
    """

    def __init__(
        self,
        task: Task,
        told: Callable[[Outcome], None],
        report: Report = lambda _: None,
        taken: Taken | None = None,
    ) -> None:
        self._task = task
        self._told = told
        self._report = report
        self._source = KnownFirst(task.source, task.target, self._target_name)
        self._tags: dict[Wanted, tuple[Tag, ...]] = {}
        self._taken = {} if taken is None else taken

    async def run(self) -> None:
        """Bring all images. Raises nothing but for mistakes of ours."""
        copying = Copying(self._source, self._task.target, self._task.options, self._take)
        await copying.run(self._images())

    def _take(self, event: Event) -> None:
        self._report(event)
        match event:
            case ImageDone(image=image):
                status: Status = "copied" if event.size else "tagged" if image.tags else "unchanged"
                self._tell(image.source, self._tags.pop(image, image.tags), event.digest, status, size=event.size)
            case ImageFailed(image=image):
                digest = image.reference if isinstance(image.reference, Digest) else None
                self._tell(image.source, self._tags.pop(image, image.tags), digest, "failed", error=event.reason)

    def _tell(
        self,
        name: RepositoryName,
        tags: Sequence[Reference],
        digest: Digest | None,
        status: Status,
        *,
        size: int = 0,
        error: str = "",
    ) -> None:
        try:
            target = _shown(self._task.target_host, self._target_name(name))
        except ContentError:
            target = ""
        words = tuple(str(tag) for tag in tags)
        self._told(Outcome(_shown(self._task.host, name), target, words, digest, status, size, error))

    def _target_name(self, name: RepositoryName) -> RepositoryName:
        return self._task.naming.target(self._task.host, name)

    async def _images(self) -> AsyncGenerator[Wanted, None]:
        async for name in self._repositories():
            try:
                self._target_name(name)
                references = await self._references(name)
            except _FAILURES as error:
                if not isinstance(error, NameUnknown) or self._is_asked_for(name):
                    self._tell(name, (), None, "failed", error=_reason(error))
                continue
            for image in await self._grouped(name, references):
                yield image

    async def _repositories(self) -> AsyncIterator[RepositoryName]:
        """The repositories that are wanted; those that are named are not looked for in a list."""
        selection = self._task.selection
        seen: set[str] = set()
        for pattern in selection.repositories:
            if pattern.is_exact and pattern.text not in seen and selection.takes_repository(pattern.text):
                seen.add(pattern.text)
                yield RepositoryName.parse(pattern.text)
        if all(pattern.is_exact for pattern in selection.repositories):
            return
        try:
            async for name in self._task.source.repositories():
                if name not in seen and selection.takes_repository(name) and not self._is_copy(name):
                    yield name
        except _FAILURES as error:
            self._told(Outcome(self._task.host, self._task.target_host, (), None, "failed", error=_reason(error)))

    def _is_asked_for(self, name: RepositoryName) -> bool:
        """True if it is called by its name: some registries list what has no tags, or none any more."""
        return any(pattern.is_exact and pattern.text == name for pattern in self._task.selection.repositories)

    def _is_copy(self, name: RepositoryName) -> bool:
        """True for what this task may have made itself, in the place that it lists: copied again, it would be a copy of
        a copy, and each run would make more of them.
        """
        return self._task.source is self._task.target and self._task.naming.makes(self._task.host, name)

    async def _references(self, name: RepositoryName) -> list[Reference]:
        selection = self._task.selection
        tags: frozenset[Tag] = frozenset()
        if selection.needs_list or self._task.options.referrers:
            try:
                tags = frozenset([tag async for tag in self._task.source.tags(name)])
                self._source.know_tags(name, tags)
            except _FAILURES:
                if selection.needs_list:
                    raise
        chosen: list[Reference] = list(selection.references)
        if selection.needs_list:
            chosen += selection.choose(sorted(tags))
        return list(dict.fromkeys(chosen))

    async def _grouped(self, name: RepositoryName, references: Sequence[Reference]) -> list[Wanted]:
        """An image for each manifest that the references name, with those of its tags that have to be moved."""
        tags: defaultdict[Digest, list[Tag]] = defaultdict(list)
        moved: defaultdict[Digest, list[Tag]] = defaultdict(list)
        target = self._target_name(name)
        for reference, digest in (await self._resolved(name, references)).items():
            if isinstance(reference, Digest):
                tags[digest] += []
            elif (first := self._first(name, target, reference, digest)) is not None:
                message = f"{first} has become {target}:{reference} in this run"
                self._tell(name, (reference,), digest, "failed", error=message)
            else:
                tags[digest].append(reference)
        now = await _side_by_side(self._tag_there, [(target, tag) for each in tags.values() for tag in each])
        for digest, own in tags.items():
            moved[digest] = [tag for tag in own if now[target, tag] != digest]
        images = {Wanted(name, digest, target, tuple(moved[digest])): tuple(own) for digest, own in tags.items()}
        self._tags |= images
        return list(images)

    def _first(self, name: RepositoryName, target: RepositoryName, tag: Tag, digest: Digest) -> str | None:
        """What else this run has made a tag of the target name, if that is another image of another repository."""
        source = _shown(self._task.host, name)
        first, there = self._taken.setdefault((self._task.target_host, target, tag), (source, digest))
        return first if first != source and there != digest else None

    async def _resolved(self, name: RepositoryName, references: Sequence[Reference]) -> Mapping[Reference, Digest]:
        async def resolve(reference: Reference) -> Digest | None:
            if isinstance(reference, Digest):
                return reference
            try:
                return await self._task.source.resolve(name, reference)
            except _FAILURES as error:
                self._tell(name, (reference,), None, "failed", error=_reason(error))
                return None

        found = await _side_by_side(resolve, references)
        return {reference: digest for reference, digest in found.items() if digest is not None}

    async def _tag_there(self, where: tuple[RepositoryName, Tag]) -> Digest | None:
        """What a tag names at the target; None if nothing, or if we may not know."""
        try:
            return await self._task.target.resolve(*where)
        except (ManifestUnknown, NameUnknown, UpstreamDenied):
            return None
        except _FAILURES:
            return None  # the copy tells what is wrong with the target


async def _side_by_side(work: Callable[[K], Coroutine[None, None, V]], items: Sequence[K]) -> dict[K, V]:
    """What `work` gives for each item, some of them asked for at a time."""
    return dict(zip(items, await in_batches(_SIDE_BY_SIDE, work, items), strict=True))


def _shown(host: str, name: str) -> str:
    return f"{host}/{name}" if host else name


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
