"""Upload sessions: bytes on their way to becoming a blob. Truth on storage; any process can take a session over.

The bytes lie on storage under a key that only the session's own repository can name. The hash so far is kept in this
process as well; whoever finds none that ends where the bytes end (a restart, another worker) reads the bytes again.

Invariant: a kept hasher has seen exactly the first `offset` bytes of its session, and is used only if `offset` is the
session's size while the session is held exclusively.
"""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from registry.content import keyspace
from registry.content.bodies import Body
from registry.content.digest import CANONICAL, Digest, Hasher, check_algorithm
from registry.content.errors import (
    BlobTooLarge,
    DigestInvalid,
    RangeOutOfOrder,
    SizeInvalid,
    UploadConflict,
    UploadUnknown,
)
from registry.content.names import RepositoryName
from storage_backends.base import StorageBackend, Upload
from storage_backends.errors import NotFound, StorageFull, UploadBusy

_KEPT_HASHERS = 4096


@dataclass(frozen=True, slots=True)
class ChunkRange:
    """A chunk's place in the blob: first and last byte, both included. Source: "Pushing a blob in chunks"."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """Bytes in the chunk."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Session:
    """An upload session of one repository: a UUID, and the digest algorithm if it is not the canonical one."""

    name: RepositoryName
    id: str

    @classmethod
    def new(cls, name: RepositoryName, algorithm: str = CANONICAL) -> Self:
        """A session that nobody had before. Raises `DigestInvalid` for an algorithm that we do not have."""
        suffix = "" if check_algorithm(algorithm) == CANONICAL else f".{algorithm}"
        return cls(name, f"{uuid.uuid4()}{suffix}")

    @classmethod
    def parse(cls, name: RepositoryName, text: str) -> Self:
        """Read a session's id from a URL. Raises `UploadUnknown` for anything that `new` cannot have made."""
        identity, dot, algorithm = text.partition(".")
        try:
            made = str(uuid.UUID(identity)) == identity and bool(dot) == bool(algorithm)
            check_algorithm(algorithm or CANONICAL)
        except (ValueError, DigestInvalid):
            made = False
        if not made:
            raise _unknown(name, text)
        return cls(name, text)

    @property
    def algorithm(self) -> str:
        """The algorithm that the client announced."""
        return self.id.partition(".")[2] or CANONICAL

    @property
    def key(self) -> str:
        """Where its bytes lie."""
        return keyspace.upload(self.name, self.id)


class UploadSessions:
    """All upload sessions of a storage."""

    def __init__(self, backend: StorageBackend, max_blob_bytes: int = 0) -> None:
        self._backend = backend
        self._max_blob_bytes = max_blob_bytes
        self._hashers: OrderedDict[str, Hasher] = OrderedDict()

    async def begin(self, name: RepositoryName, algorithm: str = CANONICAL) -> Session:
        """Open a session (end-4a, end-4c)."""
        session = Session.new(name, algorithm)
        await self._backend.create_upload(session.key)
        self._keep(session, Hasher(session.algorithm))
        return session

    async def offset(self, session: Session) -> int:
        """Bytes that the session holds (end-13). Raises `UploadUnknown`."""
        try:
            return (await self._backend.stat_upload(session.key)).size
        except NotFound as error:
            raise _unknown(session.name, session.id) from error

    async def append(self, session: Session, body: Body, chunk: ChunkRange | None = None) -> int:
        """Add a body to the session (end-5); return the bytes that it holds then.

        Bytes that arrived before a client went away stay. A body that does not fit its announced `chunk`, or the
        storage, leaves the session as it was. Raises `UploadUnknown`, `UploadConflict`, `RangeOutOfOrder`,
        `SizeInvalid`.
        """
        async with self._hold(session) as upload:
            await self._receive(session, upload, body, chunk)
            return upload.size

    async def finish(self, session: Session, digest: Digest, body: Body, chunk: ChunkRange | None = None) -> None:
        """Add the last body, check the whole against `digest`, and make it a blob of the repository (end-6).

        Durable on return. A session whose bytes have another digest is forgotten: `DigestInvalid`. Else as `append`.
        """
        async with self._hold(session) as upload:
            hasher = await self._receive(session, upload, body, chunk)
            if hasher.algorithm != digest.algorithm:
                hasher = await asyncio.to_thread(_hash_again, upload, digest.algorithm)
            if hasher.digest() != digest:
                await self._forget(session, upload)
                raise DigestInvalid(
                    f"the bytes received have the digest {hasher.digest()}, not {digest}; the upload is discarded",
                    {"expected": str(digest), "received": str(hasher.digest()), "bytes": hasher.offset},
                )
            link = (keyspace.layer_link(session.name, digest), str(digest).encode())
            await upload.commit(keyspace.blob(digest), [link])
            self._hashers.pop(session.key, None)

    async def push(self, name: RepositoryName, digest: Digest, body: Body) -> None:
        """A whole blob in one body (end-4b). Nothing is left behind if it fails, for no client knows the session."""
        session = await self.begin(name, digest.algorithm)
        try:
            await self.finish(session, digest, body)
        except BaseException:
            await asyncio.shield(self._cancel_quietly(session))
            raise

    async def cancel(self, session: Session) -> None:
        """Forget a session and its bytes (end-14). Raises `UploadUnknown`, `UploadConflict`."""
        async with self._hold(session) as upload:
            await self._forget(session, upload)

    async def _cancel_quietly(self, session: Session) -> None:
        try:
            await self.cancel(session)
        except UploadUnknown:
            return  # `finish` has forgotten it already

    async def _forget(self, session: Session, upload: Upload) -> None:
        self._hashers.pop(session.key, None)
        await upload.abort()

    @asynccontextmanager
    async def _hold(self, session: Session) -> AsyncIterator[Upload]:
        try:
            async with self._backend.open_upload(session.key) as upload:
                yield upload
        except NotFound as error:
            raise _unknown(session.name, session.id) from error
        except UploadBusy as error:
            raise UploadConflict(
                "another request is writing to this upload session; wait for it, ask for the offset with GET, continue"
            ) from error

    async def _receive(self, session: Session, upload: Upload, body: Body, chunk: ChunkRange | None) -> Hasher:
        """Write a body behind what is there; return the hasher, which has then seen every byte of the session."""
        start = upload.size
        if chunk is not None and chunk.first != start:
            raise RangeOutOfOrder(f"the chunk begins at byte {chunk.first}, the session ends at byte {start}", start)
        hasher = self._hashers.pop(session.key, None)
        if hasher is None or hasher.offset != start:
            hasher = await asyncio.to_thread(_hash_again, upload, session.algorithm)
        limit = self._limit(start, chunk)

        def write(block: memoryview) -> None:
            if limit is not None and upload.size + len(block) > limit:
                raise _too_long(start, chunk, limit)
            upload.write(block)
            hasher.update(block)

        try:
            await body.pump(write)
            _check_length(upload.size - start, chunk)
        except (SizeInvalid, StorageFull):
            await _to_its_end(upload.truncate, start)
            raise
        finally:
            if hasher.offset == upload.size:
                self._keep(session, hasher)
        return hasher

    def _limit(self, start: int, chunk: ChunkRange | None) -> int | None:
        if chunk is not None:
            return min(start + chunk.length, self._max_blob_bytes or start + chunk.length)
        return self._max_blob_bytes or None

    def _keep(self, session: Session, hasher: Hasher) -> None:
        self._hashers[session.key] = hasher
        if len(self._hashers) > _KEPT_HASHERS:
            self._hashers.popitem(last=False)


async def _to_its_end(work: Callable[[int], None], size: int) -> None:
    """Run blocking work in a thread; return only when it is over, for who is given up closes the file next."""
    task = asyncio.ensure_future(asyncio.to_thread(work, size))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _hash_again(upload: Upload, algorithm: str) -> Hasher:
    hasher = Hasher(algorithm)
    for block in upload.read_blocks(upload.size):
        hasher.update(block)
    return hasher


def _check_length(received: int, chunk: ChunkRange | None) -> None:
    if chunk is not None and received != chunk.length:
        raise SizeInvalid(f"the body has {received} bytes, its Content-Range {chunk.length}")


def _too_long(start: int, chunk: ChunkRange | None, limit: int) -> SizeInvalid:
    if chunk is not None and limit == start + chunk.length:
        return SizeInvalid(f"the body is longer than its Content-Range of {chunk.length} bytes")
    return BlobTooLarge(f"the blob is larger than the {limit} bytes that this registry accepts")


def _unknown(name: RepositoryName, session: str) -> UploadUnknown:
    return UploadUnknown(
        f"there is no upload session {session[:80]!r} in repository {name}; it has finished, been cancelled or "
        "expired: begin a new one"
    )
