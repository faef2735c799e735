"""Whose turn it is to synchronise, among all processes that use a storage: one document, changed by compare-and-swap.

A turn saves work and protects nothing: two who synchronise at the same time do everything twice, and it is right.
A version may be a tag of the bytes, so a holder writes what neither another one writes nor it itself has written.
"""

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

from registry.content import keyspace
from storage_backends.base import StorageBackend
from storage_backends.errors import AlreadyExists, NotFound, StorageError, VersionMismatch

_AT_WORK = b"at work "


class SyncBusy(Exception):
    """Somebody else synchronises at this moment."""


async def is_due(backend: StorageBackend, interval: float, lease: float) -> bool:
    """True if the last one ended `interval` seconds ago, or was killed `lease` seconds ago, or there was none."""
    try:
        found = await backend.get(keyspace.SYNC)
    except NotFound:
        return True
    return time.time() - found.info.modified >= (lease if found.data.startswith(_AT_WORK) else interval)


@asynccontextmanager
async def turn(backend: StorageBackend, lease: float) -> AsyncIterator[None]:
    """Have the turn while this lasts. Without a sign for `lease` seconds its holder is taken for dead.

    Raises `SyncBusy`.
    """
    signs = _signs()
    await _take(backend, lease, next(signs))
    beating = asyncio.create_task(_beat(backend, lease / 4, signs))
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.wait({beating})
        await backend.put(keyspace.SYNC, b"done", durable=False)


async def _take(backend: StorageBackend, lease: float, sign: bytes) -> None:
    version = None
    try:
        with suppress(NotFound):
            found = await backend.get(keyspace.SYNC)
            version = found.info.version
            if found.data.startswith(_AT_WORK) and time.time() - found.info.modified < lease:
                raise SyncBusy("images are synchronised already, by another process")
        await backend.put(keyspace.SYNC, sign, if_absent=version is None, if_match=version, durable=False)
    except (AlreadyExists, VersionMismatch) as error:
        raise SyncBusy("images are synchronised already, by another process") from error


async def _beat(backend: StorageBackend, every: float, signs: Iterator[bytes]) -> None:
    for sign in signs:
        await asyncio.sleep(every)
        with suppress(StorageError):  # the next beat may get through
            await backend.put(keyspace.SYNC, sign, durable=False)


def _signs() -> Iterator[bytes]:
    holder = uuid.uuid4().hex
    return (_AT_WORK + f"{holder} {beats}".encode() for beats in itertools.count())
