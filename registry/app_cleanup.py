"""Cleaning up as the settings say it: options, and a process of its own for what a server collects by itself.

Part of the composition root.
"""

import asyncio
import logging
import os
import pickle
import socket
import sys

from config.settings import Settings
from registry.app_auth import build_policy_source
from registry.app_storage import build_backend
from registry.cleanup.gc import Collection, Options
from registry.content.immutable_tags import Covers
from registry.content.leases import CollectorBusy, LeaseLost
from registry.ops.logs import configure_logging
from storage_backends.errors import StorageError

_log = logging.getLogger(__name__)
_NICENESS = 19


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


def immutable_tags(settings: Settings) -> Covers:
    """The tags that nobody may take."""
    policy = build_policy_source(settings, None)
    return lambda name: policy.current().immutable_in(name)


def holder() -> str:
    """Who we are, for people who look at what is going on."""
    return f"process {os.getpid()} on {socket.gethostname()}"


async def collect_in_child(settings: Settings) -> None:
    """Collect garbage in a process that gives way to this one, and ends with it. The child logs what comes of it."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "registry.collect", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await child.communicate(pickle.dumps(settings))
    except asyncio.CancelledError:
        child.terminate()
        await child.wait()
        raise


def run_child() -> None:
    """The child: read settings from standard input, collect, and log what came of it."""
    settings: Settings = pickle.load(sys.stdin.buffer)  # noqa: S301  # our parent's
    os.nice(_NICENESS)
    configure_logging(json_lines=settings.log.format == "json", level=settings.log.level)
    try:
        asyncio.run(_collect(settings))
    except CollectorBusy as busy:
        _log.debug("%s", busy)
    except LeaseLost as lost:
        _log.warning("garbage collection has stopped: %s", lost)
    except StorageError as error:
        _log.error("garbage collection failed; the next one goes on: %s", error)


async def _collect(settings: Settings) -> None:
    work = Collection(build_backend(settings), gc_options(settings), holder())
    async for _ in work.run():
        pass
    for note in work.collected.notes:
        _log.warning("garbage collection: %s", note)
    _log.info("garbage collection removed %s in %d s", work.collected, work.collected.seconds)
