"""Whose turn it is to scrub, and how far that has come: one document on the storage, changed by compare-and-swap.

Nobody else ever waits for it: not garbage collection, and no request.
"""

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from registry.content import keyspace
from storage_backends.base import StorageBackend, StoredObject
from storage_backends.errors import AlreadyExists, NotFound, VersionMismatch

_SAVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Position:
    """How far a scrub is: everything up to the digest `after` is done, `blobs` with `size` bytes since `began`. When
    everything was read the last time is `done`; a storage that nobody has scrubbed counts as read when that was seen.
    """

    holder: str = ""
    at_work: bool = False
    began: float = 0.0
    beats: int = 0
    after: str = ""
    blobs: int = 0
    size: int = 0
    done: float = 0.0

    def dump(self) -> bytes:
        """As it lies on storage."""
        return json.dumps([getattr(self, name) for name in self.__slots__]).encode()


class ScrubBusy(Exception):
    """Somebody else scrubs at this moment."""

    def __init__(self, position: Position) -> None:
        super().__init__(f"a scrub is running already, since {time.ctime(position.began)}, by {position.holder}")


class TurnLost(Exception):
    """We gave no sign for too long, and somebody else has begun to scrub."""


class Turn:
    """Our turn. After `lease` seconds without a sign it is taken for that of a killed process."""

    def __init__(self, backend: StorageBackend, holder: str, lease: float) -> None:
        self.position = Position(holder)
        self._backend = backend
        self._lease = lease
        self._version = ""
        self._saved = 0.0
        self._one = asyncio.Lock()

    async def begin(self, now: float, *, anew: bool) -> None:
        """Take the turn, and go on from where the last one was stopped, or begin anew. Raises `ScrubBusy`."""
        holder = self.position.holder
        try:
            found = await self._backend.get(keyspace.SCRUB)
        except NotFound:
            await self._take(Position(holder, at_work=True, began=now, done=now), "")
            return
        left = load(found)
        if left.at_work and now - found.info.modified < self._lease:
            raise ScrubBusy(left)
        start = Position(began=now, done=left.done) if anew or not left.after else left
        await self._take(replace(start, holder=holder, at_work=True, beats=left.beats + 1), found.info.version)

    async def beat(self, position: Position | None = None) -> None:
        """Show that we are alive, and how far we are; to be called often. Raises `TurnLost`."""
        async with self._one:
            self.position = position or self.position
            if time.monotonic() - self._saved >= min(_SAVE_SECONDS, self._lease / 4):
                await self._save()

    async def end(self, *, done: bool) -> None:
        """Give the turn back: the next one begins anew if it is `done`, else goes on from here. Raises `TurnLost`."""
        async with self._one:
            self.position = replace(self.position, at_work=False)
            if done:
                self.position = replace(self.position, after="", done=time.time())
            await self._save()

    async def _take(self, position: Position, version: str) -> None:
        try:
            await self._backend.put(
                keyspace.SCRUB, position.dump(), if_absent=not version, if_match=version or None, durable=False
            )
        except (AlreadyExists, VersionMismatch) as error:
            raise ScrubBusy(load(await self._backend.get(keyspace.SCRUB))) from error
        self.position = position
        await self._remember()

    async def _save(self) -> None:
        self.position = replace(self.position, beats=self.position.beats + 1)
        try:
            await self._backend.put(keyspace.SCRUB, self.position.dump(), if_match=self._version, durable=False)
        except VersionMismatch as error:
            raise TurnLost("another scrub has taken over") from error
        await self._remember()

    async def _remember(self) -> None:
        self._saved = time.monotonic()
        found = await self._backend.get(keyspace.SCRUB)
        if found.data != self.position.dump():
            raise TurnLost("another scrub has taken over")
        self._version = found.info.version


async def is_due(backend: StorageBackend, interval: float, lease: float) -> bool:
    """True if the last scrub of everything ended `interval` seconds ago, was stopped halfway, or was killed `lease`
    seconds ago.

    In a storage that nobody has scrubbed the first one is due after an interval.
    """
    try:
        found = await backend.get(keyspace.SCRUB)
    except NotFound:
        with suppress(AlreadyExists):  # another worker has just looked for the first time, too
            await backend.put(keyspace.SCRUB, Position(done=time.time()).dump(), if_absent=True)
        return False
    position = load(found)
    if position.at_work:
        return time.time() - found.info.modified >= lease
    return bool(position.after) or time.time() - position.done >= interval


def load(found: StoredObject) -> Position:
    """Read it from storage. Before it said when everything was read, that was the last time that it was written; so it
    is where a power cut has taken what it said, which is not synced.
    """
    try:
        position = Position(*json.loads(found.data))
    except ValueError:
        position = Position()
    return position if position.done else replace(position, done=found.info.modified)
