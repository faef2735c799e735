"""Cleaning up as the settings say it: options, and a process of its own for what a server collects by itself.

Part of the composition root.
"""

import asyncio
import logging
import os
import pickle
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Literal

from config.settings import Settings
from registry.app_auth import build_policy_source
from registry.app_retention import retention_policies
from registry.app_storage import build_backend
from registry.cleanup.due import done
from registry.cleanup.eviction import CacheLimits, Eviction
from registry.cleanup.gc import Collection, Options
from registry.cleanup.image_removal import ImageRemoval
from registry.cleanup.image_removal import Options as RemovalOptions
from registry.cleanup.pace import Pace
from registry.cleanup.prune import Prune
from registry.cleanup.retaining import Retaining, Tell
from registry.cleanup.retention import Decision, Policy
from registry.cleanup.scrub import Options as ScrubOptions
from registry.cleanup.scrub import Scrub
from registry.cleanup.scrub_turn import ScrubBusy, TurnLost
from registry.content.immutable_tags import Covers
from registry.content.leases import CollectorBusy, LeaseLost, storage_time
from registry.name_patterns import NamePattern
from registry.ops.logs import configure_logging
from registry.ops.stopping import run_until_stopped
from storage_backends.errors import StorageError

_log = logging.getLogger(__name__)
_NICENESS = 19
_CHILD = (sys.executable, "-P", "-m", "registry.collect")
"""Nothing is imported from the working directory, which `-m` alone would look into first."""
RETENTION = "retention"
"""What `due` calls it."""
Work = Literal["garbage collection", "retention", "scrub", "sync"]
Works = Mapping[Work, Callable[[Settings], Coroutine[None, None, None]]]


def gc_options(settings: Settings) -> Options:
    """How a server collects garbage."""
    cleanup = settings.cleanup
    return Options(
        grace=cleanup.grace_seconds,
        share=cleanup.share,
        lease=cleanup.lease_seconds,
        dangling_referrers=cleanup.dangling_referrers == "remove",
        immutable=immutable_tags(settings),
        upload_lifetime=settings.storage.upload_lifetime_seconds,
        tag_history=cleanup.tag_history,
    )


def scrub_options(settings: Settings) -> ScrubOptions:
    """How a server scrubs."""
    return ScrubOptions(rate=settings.cleanup.scrub_bytes_per_second, lease=settings.cleanup.lease_seconds)


def immutable_tags(settings: Settings) -> Covers:
    """The tags that nobody may take."""
    policy = build_policy_source(settings, None)
    return lambda name: policy.current().immutable_in(name)


def holder() -> str:
    """Who we are, for people who look at what is going on."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def build_retention(
    settings: Settings,
    acts: Callable[[Policy], bool],
    tell: Tell,
    *,
    share: float = 1.0,
    for_good: bool = False,
    dry_run: bool = False,
) -> ImageRemoval:
    """A run of the retention policies, of which those act that `acts` takes."""
    backend, cleanup = build_backend(settings), settings.cleanup
    chooser = Retaining(
        backend,
        retention_policies(settings),
        immutable_tags(settings),
        cleanup.grace_seconds,
        acts=acts,
        tell=tell,
    )
    restorable = 0.0 if for_good else cleanup.grace_seconds
    options = RemovalOptions(cleanup.grace_seconds, restorable, cleanup.lease_seconds, share, dry_run)
    return ImageRemoval(backend, chooser, options, holder())


async def run_in_child(work: Work, settings: Settings) -> None:
    """Do something in a process that gives way to this one, and ends with it. The child logs what comes of it; that it
    was killed, as for want of memory, is logged here.
    """
    child = await asyncio.create_subprocess_exec(
        *_CHILD, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await child.communicate(pickle.dumps((work, settings)))
    except asyncio.CancelledError:
        child.terminate()
        await child.wait()
        raise
    if child.returncode:
        _log.error("%s has ended before it was done, with exit code %d; the next one goes on", work, child.returncode)


def run_child(further: Works) -> None:
    """The child: read from standard input what to do, do it, and log what came of it; `further` is no cleanup. SIGTERM
    stops it, and it tidies up first.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal everybody gets it: our parent says when to stop
    work, settings = pickle.load(sys.stdin.buffer)  # noqa: S301  # our parent's
    os.nice(_NICENESS)
    configure_logging(json_lines=settings.log.format == "json", level=settings.log.level)
    try:
        own: Works = {"garbage collection": _collect, "retention": _retain, "scrub": _scrub}
        run_until_stopped({**own, **further}[work](settings))
    except KeyboardInterrupt:
        _log.info("%s was told to stop; the next one goes on", work)
    except (CollectorBusy, ScrubBusy) as busy:
        _log.debug("%s", busy)
    except (LeaseLost, TurnLost) as lost:
        _log.warning("%s has stopped: %s", work, lost)
    except StorageError as error:
        _log.error("%s failed; the next one goes on: %s", work, error)


def collection_interval(settings: Settings) -> float:
    """Every how many seconds garbage is collected; 0 for never. What is evicted from mirrors makes room only then."""
    intervals = [settings.cleanup.interval_seconds]
    if settings.mirror.evicts:
        intervals.append(settings.mirror.eviction_interval_seconds)
    return min((interval for interval in intervals if interval), default=0.0)


def cache_limits(settings: Settings) -> CacheLimits:
    """What of the repositories that mirror others stays."""
    mirror = settings.mirror
    cached, lasting = (
        [NamePattern(f"{source.prefix}/**") for source in mirror.sources if source.offline is offline]
        for offline in (False, True)
    )
    return CacheLimits(cached, mirror.keep_seconds, mirror.max_bytes, lasting)


async def _evict(settings: Settings) -> None:
    """Remove what was fetched from elsewhere and nobody uses, or has room for."""
    backend, grace = build_backend(settings), settings.cleanup.grace_seconds
    pace = Pace(settings.cleanup.share)
    now = await storage_time(backend)
    filters = await Eviction(backend, cache_limits(settings), pace.rest).filters(now)
    if filters is None:
        return
    options = RemovalOptions(grace, 0, settings.cleanup.lease_seconds, settings.cleanup.share)
    chooser = Prune(backend, filters, immutable_tags(settings), grace, every=True)
    removal = ImageRemoval(backend, chooser, options, holder())
    async for _ in removal.run():
        pass
    for note in removal.removed.notes:
        _log.warning("eviction: %s", note)
    going, freed = len(removal.removed.going), removal.removed.freed
    if going:
        _log.info(
            "%d images that were fetched from elsewhere have gone; collecting garbage frees %d bytes", going, freed
        )


async def _collect(settings: Settings) -> None:
    if settings.mirror.evicts:
        await _evict(settings)
    work = Collection(build_backend(settings), gc_options(settings), holder())
    async for _ in work.run():
        pass
    for note in work.collected.notes:
        _log.warning("garbage collection: %s", note)
    _log.info("garbage collection removed %s in %d s", work.collected, work.collected.seconds)


async def _retain(settings: Settings) -> None:
    """Policies that are not enabled only say how much they would remove."""
    idle: Counter[str] = Counter()

    def tell(_: str, policy: Policy, decisions: Sequence[Decision]) -> None:
        if not policy.enabled:
            idle[policy.name] += sum(not decision.keeps for decision in decisions)

    acting = any(policy.enabled for policy in retention_policies(settings))
    share = settings.cleanup.share
    work = build_retention(settings, lambda policy: policy.enabled, tell, share=share, dry_run=not acting)
    if not acting:  # no lease tells others that it is being done
        await done(build_backend(settings), RETENTION)
    async for _ in work.run():
        pass
    await done(build_backend(settings), RETENTION)
    for note in work.removed.notes:
        _log.warning("retention: %s", note)
    for name, count in idle.items():
        _log.info(
            "retention: policy %s is not enabled; it would remove %d tags and untagged images: see "
            "`cargohold retention --dry-run`",
            name,
            count,
        )
    if acting:
        tags, images = sum(len(one.tags) for one in work.removed.going), sum(one.whole for one in work.removed.going)
        _log.info("retention removed %d tags and %d images with %d bytes", tags, images, work.removed.freed)


async def _scrub(settings: Settings) -> None:
    backend = build_backend(settings)
    found = await Scrub(backend, scrub_options(settings), holder()).run(await storage_time(backend))
    for damage in found.damaged:
        level = logging.ERROR if damage.hurts else logging.WARNING
        _log.log(level, "scrub: %s is %s: %s; needed by %s", damage.digest, damage.state, damage.reason, damage.images)
    _log.info("scrub read %d blobs with %d bytes", found.blobs, found.size)
