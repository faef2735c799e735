"""Synchronisation as the settings say it: places, selections, and the tasks that they make.

Part of the composition root.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from config.checks import Problem
from config.settings import Settings
from config.sync import CopySettings
from config.upstreams import UpstreamSettings
from registry.app_auth import build_policy_source
from registry.app_registry import build_registry
from registry.app_storage import build_backend
from registry.app_upstreams import options_for
from registry.content.digest import Digest
from registry.content.errors import ContentError
from registry.content.image_references import is_host
from registry.content.local_place import LocalPlace
from registry.content.names import Reference, RepositoryName, Tag, is_name
from registry.content.places import Source
from registry.content.versions import VersionRange
from registry.mirror.copy import Options
from registry.mirror.errors import MirrorError
from registry.mirror.layout_files import AS_PLACE, open_layout
from registry.mirror.oci_layout import OciLayout
from registry.mirror.platforms import Platform
from registry.mirror.progress import Report
from registry.mirror.selection import Naming, Selection
from registry.mirror.sync import Outcome, Sync, SyncTarget, Taken, Task
from registry.mirror.sync_turn import SyncBusy, turn
from registry.mirror.upstream import Upstream
from registry.mirror.upstream_options import Patience
from registry.mirror.upstream_probe import probed
from registry.name_patterns import NamePattern

_log = logging.getLogger(__name__)
STORAGE = "storage"
"""As a source: our own storage."""
_PATIENCE = Patience(longest_wait=300.0)
"""Nobody waits for it: a registry that asks for a pause gets one."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How to synchronise, beside what: `plain_http` for hosts that the settings don't know."""

    dry_run: bool = False
    jobs: int = 4
    plain_http: bool = False


def sync_problems(settings: Settings) -> Iterator[Problem]:
    """Mistakes in the words of copies: a check for `config.load.read`."""
    for number, copy in enumerate(settings.sync.copies):
        try:
            check_copy(copy, settings.upstreams)
        except ValueError as error:
            yield Problem(("sync", "copies", number), str(error))


def check_copy(copy: CopySettings, upstreams: Sequence[UpstreamSettings]) -> None:
    """Raise `ValueError` if the words of a copy mean nothing."""
    host, prefix = target_of(copy.target)
    for place in (copy.source, host):
        if place and place != STORAGE and not place.startswith(AS_PLACE):
            options_for(place, upstreams, _PATIENCE)
    for text in copy.platforms:
        Platform.parse(text)
    try:
        _selection(copy)
        Naming.parse(prefix)
    except ContentError as error:
        raise ValueError(error.message) from error


def target_of(text: str) -> tuple[str, str]:
    """Registry and prefix of a target: what stands before the first slash is a registry if it has a dot or a colon, or
    is `localhost`. The registry is empty for our own storage.
    """
    head, _, rest = text.partition("/")
    if is_host(head) and (head == "localhost" or set(head) & set(".:[")):
        return head, rest
    return "", text


async def synchronise(
    settings: Settings,
    copies: Sequence[CopySettings],
    wish: Wish,
    told: Callable[[Outcome], None],
    report: Report = lambda _: None,
) -> None:
    """Bring the images of all copies, one copy after the other. `told` hears what became of each image.

    Raises `ValueError` if the words of a copy mean nothing, and `StorageError` if our storage cannot be used.
    """
    async with AsyncExitStack() as stack:
        places, taken = _Places(settings, wish, stack), Taken()
        for copy in copies:
            try:
                await Sync(await places.task(copy), told, report, taken).run()
            except (ContentError, MirrorError, OSError) as error:  # what reading a layout raises, too
                told(Outcome(copy.source, copy.target, (), None, "failed", error=str(error)))


async def synchronise_as_set(settings: Settings) -> None:
    """What a server does by itself: all copies of the settings, if it is our turn; the log says what came of it."""
    outcomes: list[Outcome] = []
    try:
        async with turn(build_backend(settings), settings.cleanup.lease_seconds):
            await synchronise(settings, settings.sync.copies, Wish(jobs=settings.sync.jobs), outcomes.append)
    except SyncBusy as busy:
        _log.debug("%s", busy)
        return
    for outcome in outcomes:
        if outcome.status == "failed":
            _log.warning("sync: %s of %s failed: %s", ", ".join(outcome.tags) or "all", outcome.source, outcome.error)
    moved = [outcome for outcome in outcomes if outcome.status in ("copied", "tagged")]
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    size = sum(outcome.size for outcome in moved)
    _log.info("sync brought %d of %d images with %d bytes; %d failed", len(moved), len(outcomes), size, failed)


class _Places:
    """Places that are open for as long as a run lasts, each once."""

    def __init__(self, settings: Settings, wish: Wish, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._wish = wish
        self._stack = stack
        self._upstreams: dict[str, Upstream] = {}
        self._own: LocalPlace | None = None

    async def task(self, copy: CopySettings) -> Task:
        host, prefix = target_of(copy.target)
        target: SyncTarget = await self._upstream(host) if host else self._storage()
        source_host, source = await self._source(copy)
        options = Options(
            platforms=tuple(map(Platform.parse, copy.platforms)),
            referrers=copy.referrers,
            # of what we hold ourselves, platforms may have been left out before
            sparse=copy.source == STORAGE or copy.source.startswith(AS_PLACE),
            jobs=self._wish.jobs,
            dry_run=self._wish.dry_run,
        )
        return Task(source_host, source, host, target, _selection(copy), Naming.parse(prefix), options)

    async def _source(self, copy: CopySettings) -> tuple[str, Source]:
        place = copy.source
        if place == STORAGE:
            return "", self._storage()
        if place.startswith(AS_PLACE):
            path = Path(copy.source.removeprefix(AS_PLACE))
            files = await asyncio.to_thread(open_layout, path)
            self._stack.callback(files.close)
            return "", await asyncio.to_thread(OciLayout, files, _unnamed(copy, path))
        upstream = await self._upstream(place)
        return upstream.endpoint.host, upstream

    async def _upstream(self, place: str) -> Upstream:
        if place not in self._upstreams:
            options = options_for(place, self._settings.upstreams, _PATIENCE, plain_http=self._wish.plain_http)
            self._upstreams[place] = await self._stack.enter_async_context(Upstream(await probed(options)))
        return self._upstreams[place]

    def _storage(self) -> LocalPlace:
        if self._own is None:
            section = self._settings.registry.model_copy(update={"allow_sparse_indexes": True})  # chosen platforms
            settings = self._settings.model_copy(update={"registry": section})
            policy = build_policy_source(settings, None)
            self._own = LocalPlace(build_registry(settings, build_backend(settings), policy))
        return self._own


def _selection(copy: CopySettings) -> Selection:
    """Raises `ValueError` and `ContentError`."""
    repositories = tuple(map(NamePattern.parse, copy.repositories))
    for pattern in repositories:
        if pattern.is_exact:
            RepositoryName.parse(pattern.text)
    is_list_needed = bool(copy.semver or copy.newest)
    references: list[Reference] = []
    patterns: list[NamePattern] = []
    for text in copy.tags:
        if ":" in text and not text.startswith("/"):
            references.append(Digest.parse(text))
        elif (pattern := NamePattern.parse(text)).is_exact and not is_list_needed:
            references.append(Tag.parse(text))
        else:
            patterns.append(pattern)
    return Selection(
        repositories,
        tuple(map(NamePattern.parse, copy.exclude_repositories)),
        tuple(references),
        tuple(patterns),
        tuple(map(NamePattern.parse, copy.exclude_tags)),
        VersionRange.parse(copy.semver) if copy.semver else None,
        copy.newest,
    )


def _unnamed(copy: CopySettings, path: Path) -> RepositoryName | None:
    """The repository of images whose name a layout does not give: the one that is asked for, or the layout's own."""
    wanted = copy.repositories[0]
    names = (wanted if NamePattern.parse(wanted).is_exact else "", path.resolve().stem)
    return next((RepositoryName(name) for name in names if is_name(name)), None)
