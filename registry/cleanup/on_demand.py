"""Garbage collection when somebody asks a server for it, and how far one is, whoever does it. Starts nothing itself.

A server looks at `asked` and does the work; whether another process is at work is read from the storage.
"""

import asyncio
import time
from collections.abc import Mapping

from registry.cleanup.due import last_done
from registry.cleanup.gc import WORK
from registry.content import keyspace
from registry.content.leases import CollectorBusy, CollectorState, load_state
from storage_backends.base import StorageBackend
from storage_backends.errors import NotFound


class OnDemand:
    """For one process; `lease` is how long (seconds) a collector may be silent until it is taken for dead."""

    def __init__(self, backend: StorageBackend, lease: float) -> None:
        self.asked = asyncio.Event()
        """Set from when somebody has asked until the work is done."""
        self._backend = backend
        self._lease = lease

    async def begin(self) -> Mapping[str, object]:
        """Ask for a collection; what `status` says then. Raises `CollectorBusy`."""
        state, is_alive = await self._look()
        if is_alive or self.asked.is_set():
            raise CollectorBusy(state)
        self.asked.set()
        return await self.status()

    async def status(self) -> Mapping[str, object]:
        """Who is at work and how far, and what came of the last collection, as JSON can tell it; times in seconds since
        the epoch.
        """
        state, is_alive = await self._look()
        last = await last_done(self._backend, WORK)
        at_work = {"holder": state.holder, "began": state.began, "progress": state.progress} if state.at_work else None
        asked = "starting" if self.asked.is_set() else "idle"
        return {
            "state": "running" if is_alive else "interrupted" if state.at_work else asked,
            "collector": at_work,
            "last": {"ended": last[0], "outcome": last[1]} if last is not None else None,
        }

    async def _look(self) -> tuple[CollectorState, bool]:
        """The collector, and whether it is at work and has shown so lately."""
        try:
            found = await self._backend.get(keyspace.COLLECTOR)
        except NotFound:
            return CollectorState(), False
        state = load_state(found)
        return state, state.at_work and time.time() - found.info.modified < self._lease
