"""Cleaning up as the settings say it: options, and a process of its own for what a server collects by itself.

Part of the composition root.
"""

import asyncio
import logging
import os
import pickle
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Literal

from config.settings import Settings
from registry.app_auth import build_policy_source
from registry.app_storage import build_backend
from registry.cleanup.gc import Collection, Options
from registry.cleanup.scrub import Options as ScrubOptions
from registry.cleanup.scrub import Scrub
from registry.cleanup.scrub_turn import ScrubBusy, TurnLost
from registry.content.immutable_tags import Covers
from registry.content.leases import CollectorBusy, LeaseLost, storage_time
from registry.ops.logs import configure_logging
from storage_backends.errors import StorageError

_log = logging.getLogger(__name__)
_NICENESS = 19
Work = Literal["garbage collection", "scrub", "sync"]


def gc_options(settings: Settings) -> Options:
    """How a server collects garbage."""
    cleanup = settings.cleanup
    return Options(
        grace=cleanup.grace_seconds,
        share=cleanup.share,
        lease=cleanup.lease_seconds,
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


async def run_in_child(work: Work, settings: Settings) -> None:
    """Do something in a process that gives way to this one, and ends with it. The child logs what comes of it."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "registry.collect", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await child.communicate(pickle.dumps((work, settings)))
    except asyncio.CancelledError:
        child.terminate()
        await child.wait()
        raise


def run_child(further: Mapping[Work, Callable[[Settings], Coroutine[None, None, None]]]) -> None:
    """The child: read from standard input what to do, do it, and log what came of it; `further` is no cleanup."""
    work, settings = pickle.load(sys.stdin.buffer)  # noqa: S301  # our parent's
    os.nice(_NICENESS)
    configure_logging(json_lines=settings.log.format == "json", level=settings.log.level)
    try:
        asyncio.run({"garbage collection": _collect, "scrub": _scrub, **further}[work](settings))
    except (CollectorBusy, ScrubBusy) as busy:
        _log.debug("%s", busy)
    except (LeaseLost, TurnLost) as lost:
        _log.warning("%s has stopped: %s", work, lost)
    except StorageError as error:
        _log.error("%s failed; the next one goes on: %s", work, error)


async def _collect(settings: Settings) -> None:
    work = Collection(build_backend(settings), gc_options(settings), holder())
    async for _ in work.run():
        pass
    for note in work.collected.notes:
        _log.warning("garbage collection: %s", note)
    _log.info("garbage collection removed %s in %d s", work.collected, work.collected.seconds)


async def _scrub(settings: Settings) -> None:
    backend = build_backend(settings)
    found = await Scrub(backend, scrub_options(settings), holder()).run(await storage_time(backend))
    for damage in found.damaged:
        level = logging.ERROR if damage.hurts else logging.WARNING
        _log.log(level, "scrub: %s is %s: %s; needed by %s", damage.digest, damage.state, damage.reason, damage.images)
    _log.info("scrub read %d blobs with %d bytes", found.blobs, found.size)
