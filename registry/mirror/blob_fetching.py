"""Blobs from elsewhere: each is fetched once, who asks for it meanwhile reads along, and it is kept when it is right.

A fetch is a task of its own: it goes on when the clients that asked are gone. In this process all share it; among
processes `turns` decides who fetches. The others read along where the storage lets them see a file that grows (a
directory), and elsewhere wait until the blob is whole; if that takes longer than `wait`, they fetch it as well.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass, field
from io import FileIO

from registry.content.bodies import Write, pour
from registry.content.digest import Digest
from registry.content.errors import (
    DigestInvalid,
    NotMirrored,
    PlaceCorrupt,
    PlaceMisbehaved,
    PlaceRefused,
    PlaceUnavailable,
    SizeInvalid,
    UploadConflict,
    UploadUnknown,
)
from registry.content.names import RepositoryName
from registry.content.repository import Registry
from registry.content.upload_sessions import Session
from registry.content.verifying import exactly
from registry.mirror.growing import GrowingBlob
from registry.mirror.mirrored_place import MirroredPlace
from registry.mirror.turns import Turn
from storage_backends.base import StorageBackend
from storage_backends.errors import NotFound
from storage_backends.os_errors import as_writing
from storage_backends.sendable import FileRegion, Sendable

_SMALL = 1024 * 1024
"""A blob of at most so many bytes is sent when it is whole: what goes wrong then gets a clear answer."""
_SAMPLE = 64 * 1024
"""So many bytes show that an upstream has a blob."""
_POLL_SECONDS = 0.05
_SPOOL = "a temporary file (see TMPDIR)"
_CONFLICT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """`at_once` fetches run in this process, and `waiting` more wait, whose clients may be gone; `max_bytes` is the
    largest blob that is fetched (0: any); after `wait` seconds without a byte from another process a blob is fetched
    here as well.
    """

    at_once: int = 16
    max_bytes: int = 0
    wait: float = 45.0
    waiting: int = 1000


@dataclass(slots=True)
class _Fetch:
    """One blob of one repository on its way. `seen` resolves to what can be read along, or None if it is there."""

    place: MirroredPlace
    name: RepositoryName
    digest: Digest
    seen: "asyncio.Future[GrowingBlob | None]"
    growing: GrowingBlob | None = None
    is_doubtful: bool = False
    """The bytes are here, and the upstream has not shown that it has them."""
    is_sized: bool = True
    """The upstream has not yet refused to say how long it is."""
    session: Session = field(init=False)

    def __post_init__(self) -> None:
        self.session = Session.fetching(self.name, self.digest)

    def show(self, growing: GrowingBlob) -> GrowingBlob:
        """From now on the blob can be read along."""
        self.growing = growing
        self.seen.set_result(growing)
        return growing

    def end(self, error: Exception | None) -> None:
        """Tell everybody who waits what came of it."""
        if self.growing is None:
            self.seen.set_exception(error) if error else self.seen.set_result(None)
            self.seen.exception()  # perhaps nobody waits any more
        elif error:
            self.growing.fail(error)
        else:
            self.growing.finish()


@dataclass(frozen=True, slots=True)
class _File:
    """Where a blob can be read while it comes; `spool` if it has to be written there besides being stored."""

    fd: int
    spool: FileIO | None = None


class BlobFetching:
    """All fetches of this process, into `local`."""

    def __init__(self, local: Registry, backend: StorageBackend, limits: FetchLimits) -> None:
        self._local = local
        self._backend = backend
        self._limits = limits
        self._places = asyncio.Semaphore(limits.at_once)
        self._fetches: dict[tuple[RepositoryName, Digest], _Fetch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(
        self, place: MirroredPlace, name: RepositoryName, digest: Digest, start: int = 0, length: int | None = None
    ) -> Sendable:
        """A blob that is not in repository `name` yet, as it comes in. Raises `BlobUnknown`, `NotMirrored` and what
        `MirroredPlace` raises.
        """
        growing = await asyncio.shield(self._fetch(place, name, digest).seen)
        if growing is not None:
            if start + (length or 0) > growing.size:
                raise PlaceUnavailable(f"{place.route.host} has said that {digest} is longer than {growing.size} bytes")
            if growing.size > _SMALL and not growing.is_closed:
                return growing.read(start, length)
            await growing.whole()
        return await self._local.blobs.open(name, digest, start, length)

    async def fetch(self, place: MirroredPlace, name: RepositoryName, digest: Digest) -> None:
        """Make a blob part of repository `name`; raises as `open` does."""
        growing = await asyncio.shield(self._fetch(place, name, digest).seen)
        if growing is not None:
            await growing.whole()

    def _fetch(self, place: MirroredPlace, name: RepositoryName, digest: Digest) -> _Fetch:
        fetch = self._fetches.get((name, digest))
        if fetch is None:
            if len(self._fetches) >= self._limits.at_once + self._limits.waiting:
                raise PlaceUnavailable("too many blobs are being fetched already; try again in a moment")
            fetch = _Fetch(place, name, digest, asyncio.get_running_loop().create_future())
            self._fetches[name, digest] = fetch
            task = asyncio.create_task(self._run(fetch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return fetch

    async def _run(self, fetch: _Fetch) -> None:
        failure: Exception | None = PlaceUnavailable("the server is being stopped; try again in a moment")
        try:
            await self._bring(fetch)
            failure = None
        except Exception as error:  # whoever waits gets it
            failure = error
        finally:
            del self._fetches[fetch.name, fetch.digest]
            fetch.end(failure)
            if fetch.growing is not None:
                fetch.growing.close()

    async def _bring(self, fetch: _Fetch) -> None:
        turn = Turn(self._backend, fetch.digest, fetch.session.key)
        began = time.monotonic()
        while not await self._is_here(fetch):
            try:
                if await turn.take():
                    async with turn.kept():
                        if not await self._is_here(fetch):
                            await self._download(fetch)
                    return
                if fetch.growing is None and time.monotonic() - began > self._limits.wait:
                    await self._download(fetch)
                    return
            except UploadConflict:
                # whoever had the turn before us is still at it, after a long pause
                if time.monotonic() - began > self._limits.wait:
                    raise PlaceUnavailable("another process is fetching this, and does not get on; try again") from None
                await asyncio.sleep(_CONFLICT_SECONDS)
            await self._read_along(fetch, turn.holder_key)
            await asyncio.sleep(_POLL_SECONDS)  # another process fetches; the storage tells us nothing by itself

    async def _is_here(self, fetch: _Fetch) -> bool:
        """True if the repository has the blob. Bytes that are here for another repository become this one's, too, if
        the upstream shows that it has them in what this one mirrors: its word alone opens nothing.
        """
        blobs = self._local.blobs
        if await blobs.has(fetch.name, fetch.digest):
            return True
        start, here = (0, b"") if fetch.is_doubtful else await blobs.sample(fetch.digest, _SAMPLE)
        if not here:
            return False
        if await blobs.has(fetch.name, fetch.digest):
            return True  # somebody has brought it for this repository since we looked
        if await fetch.place.blob_part(fetch.name, fetch.digest, start, len(here)) != here:
            fetch.is_doubtful = True
            return False
        await blobs.link(fetch.name, fetch.digest)
        return await blobs.has_bytes(fetch.digest)

    async def _read_along(self, fetch: _Fetch, key: str) -> None:
        """Let readers see what another process has fetched for this repository by now."""
        if fetch.growing is None and key == fetch.session.key and fetch.is_sized:
            region = await self._unfinished(key)
            if region is not None:
                with closing(region):
                    if (size := await self._size(fetch)) is not None:
                        fetch.show(GrowingBlob(size, os.dup(region.fd)))
        if fetch.growing is not None:
            fetch.growing.advance(fetch.growing.written())

    async def _download(self, fetch: _Fetch) -> None:
        uploads = self._local.uploads
        async with self._places, AsyncExitStack() as stack:
            begun = await self._take_up(fetch)
            try:
                file, begun = await self._file(fetch.session, begun, stack)
                opened = await stack.enter_async_context(fetch.place.blob(fetch.name, fetch.digest, begun))
                self._check_size(fetch, opened.size)
                growing = self._show(fetch, opened.size, begun, file.fd)
                blocks = exactly(opened.size - begun, opened.blocks)
                body = _Arriving(blocks, _then(growing, file.spool, begun))
                await uploads.finish(fetch.session, fetch.digest, body)
            except UploadConflict:
                raise
            except Exception as error:
                with suppress(UploadUnknown, UploadConflict):
                    await uploads.cancel(fetch.session)
                if isinstance(error, DigestInvalid | SizeInvalid):
                    raise PlaceCorrupt(f"{fetch.place.route.host} sends a wrong blob: {error.message}") from error
                raise
        fetch.place.state.count("blobs fetched")
        fetch.place.state.count("bytes fetched", opened.size - begun)

    async def _take_up(self, fetch: _Fetch) -> int:
        """How many bytes a killed process has left, to go on from; all of them are as good as none."""
        uploads = self._local.uploads
        begun = await uploads.take_up(fetch.session)
        if begun and begun >= (await self._size(fetch) or 0):
            await uploads.cancel(fetch.session)
            begun = await uploads.take_up(fetch.session)
        return begun

    async def _size(self, fetch: _Fetch) -> int | None:
        """The size of a blob, in bytes; None if the upstream does not say without sending it."""
        try:
            return await fetch.place.blob_size(fetch.name, fetch.digest)
        except (PlaceMisbehaved, PlaceRefused):
            fetch.is_sized = False
            return None

    async def _file(self, session: Session, begun: int, stack: AsyncExitStack) -> tuple["_File", int]:
        """Where the blob can be read while it comes, and how many bytes are there already."""
        region = await self._unfinished(session.key)
        if region is not None:
            return _File(stack.enter_context(closing(region)).fd), begun
        if begun:  # what a killed process has left where nobody can read it
            await self._local.uploads.cancel(session)
            await self._local.uploads.take_up(session)
        with as_writing(_SPOOL):
            file = tempfile.TemporaryFile(prefix="cargohold-", buffering=0)  # noqa: SIM115  # the stack closes it
        spool = stack.enter_context(file)
        return _File(spool.fileno(), spool), 0

    def _show(self, fetch: _Fetch, size: int, begun: int, fd: int) -> GrowingBlob:
        growing = fetch.growing or fetch.show(GrowingBlob(size, os.dup(fd)))
        if not growing.is_of(fd):
            raise PlaceUnavailable("the process that fetched this is gone; try again")
        growing.advance(begun)
        return growing

    def _check_size(self, fetch: _Fetch, size: int) -> None:
        limits = [limit for limit in (self._limits.max_bytes, self._local.rules.max_blob_bytes) if limit]
        if limits and size > min(limits):
            raise NotMirrored(
                f"blob {fetch.digest} has {size} bytes, more than the {min(limits)} that are fetched from"
                f" {fetch.place.route.host}",
                {"digest": str(fetch.digest)},
            )

    async def _unfinished(self, key: str) -> FileRegion | None:
        try:
            return await self._backend.open_unfinished(key)
        except NotFound:
            return None


class _Arriving:
    """Blocks as the body of an upload; each that is stored is given to `then`, in the same thread."""

    def __init__(self, blocks: AsyncIterator[bytes], then: Write) -> None:
        self._blocks = blocks
        self._then = then

    async def pump(self, write: Write) -> int:
        """See `Body`."""

        def both(block: memoryview) -> None:
            write(block)
            self._then(block)

        return await pour(self._blocks, both)


def _then(growing: GrowingBlob, spool: FileIO | None, begun: int) -> Write:
    """What is done in a thread with each block when it is stored."""
    loop, arrived = asyncio.get_running_loop(), begun

    def then(block: memoryview) -> None:
        nonlocal arrived
        arrived += len(block)
        with as_writing(_SPOOL):
            while spool is not None and block:
                block = block[spool.write(block) :]
        loop.call_soon_threadsafe(growing.advance, arrived)

    return then
