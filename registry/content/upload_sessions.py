"""Upload sessions: bytes on their way to becoming a blob. Truth on storage; any process can take a session over.

The bytes lie on storage under a key that only the session's own repository can name. The hash so far is kept in this
process as well; whoever finds none that ends where the bytes end (a restart, another worker) reads the bytes again.

Invariant: a kept hasher has seen exactly the first `offset` bytes of its session as they were saved, and is used only
if `offset` is the session's size while the session is held. For other processes the digest so far goes with the saved
bytes, as a note: enough for the usual push, whose last request brings no more bytes.
"""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
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
from registry.content.leases import Leases
from registry.content.names import RepositoryName
from storage_backends.base import StorageBackend, Upload
from storage_backends.errors import AlreadyExists, NotFound, StorageFull, Unavailable, UploadBusy
from storage_backends.waiting import to_its_end

_KEPT_HASHERS = 4096
_HASHED_AT_ONCE = 4


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

    @classmethod
    def fetching(cls, name: RepositoryName, digest: Digest) -> Self:
        """The one session in which a blob comes from elsewhere. Not for repositories that can be pushed to: there
        whoever knows the digest could write to it.
        """
        suffix = "" if digest.algorithm == CANONICAL else f".{digest.algorithm}"
        return cls(name, f"{uuid.uuid5(uuid.NAMESPACE_URL, str(digest))}{suffix}")

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

    def __init__(self, backend: StorageBackend, leases: Leases, max_blob_bytes: int = 0) -> None:
        self._backend = backend
        self._leases = leases
        self._max_blob_bytes = max_blob_bytes
        self._hashers: OrderedDict[str, Hasher] = OrderedDict()
        # of its own: bodies that come in do not wait until large uploads are read again
        self._threads = ThreadPoolExecutor(_HASHED_AT_ONCE, thread_name_prefix="hash-again")

    async def begin(self, name: RepositoryName, algorithm: str = CANONICAL) -> Session:
        """Open a session (end-4a, end-4c)."""
        session = Session.new(name, algorithm)
        await self._backend.create_upload(session.key)
        return session

    async def take_up(self, session: Session) -> int:
        """Open a session that is known beforehand, or find it as it was left; bytes that it holds."""
        # others may have cancelled it and begun it again since this process has seen it
        self._hashers.pop(session.key, None)
        with suppress(AlreadyExists):
            await self._backend.create_upload(session.key)
        return await self.offset(session)

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
            hasher = self._hasher(session, upload, session.algorithm, chunk)
            await self._receive(session, upload, hasher, body, chunk)
            await self._save(session, upload, hasher)
            return upload.size

    async def finish(self, session: Session, digest: Digest, body: Body, chunk: ChunkRange | None = None) -> None:
        """Add the last body, check the whole against `digest`, and make it a blob of the repository (end-6).

        Durable on return. A session whose bytes have another digest is forgotten: `DigestInvalid`. Else as `append`.
        """
        async with self._hold(session, keyspace.blob(digest)) as upload:
            noted = _noted(upload)
            hasher = self._hasher(session, upload, digest.algorithm, chunk)
            if hasher is None and noted is None:
                hasher = await self._hash_again(upload, session.algorithm)
            received = await self._receive(session, upload, hasher, body, chunk)
            if hasher is not None and hasher.algorithm == digest.algorithm:
                found = hasher.digest()
            elif noted is not None and not received and noted.algorithm == digest.algorithm:
                found = noted
            else:
                found = (await self._hash_again(upload, digest.algorithm)).digest()
            if found != digest:
                await self._forget(session, upload)
                raise _wrong_digest(found, digest, upload.size)
            try:
                await self._commit(upload, session.name, digest)
            except Unavailable:
                # so that the client can send the same request again
                if received:
                    await upload.rewind()
                else:
                    await self._save(session, upload, hasher)
                raise
            self._hashers.pop(session.key, None)

    async def push(self, name: RepositoryName, digest: Digest, body: Body) -> None:
        """A whole blob in one body (end-4b). Nothing is left behind if it fails."""
        async with self._backend.new_upload(keyspace.blob(digest)) as upload:
            hasher = Hasher(digest.algorithm)
            await body.pump(self._writer(upload, hasher, self._limit(0, None)))
            if hasher.digest() != digest:
                raise _wrong_digest(hasher.digest(), digest, upload.size)
            await self._commit(upload, name, digest)

    async def cancel(self, session: Session) -> None:
        """Forget a session and its bytes (end-14). Raises `UploadUnknown`, `UploadConflict`."""
        async with self._hold(session) as upload:
            await self._forget(session, upload)

    async def _commit(self, upload: Upload, name: RepositoryName, digest: Digest) -> None:
        """The link first: it keeps the collector from bytes that may be there already, and are about to be replaced."""
        link = keyspace.layer_link(name, digest)
        await upload.commit(keyspace.blob(digest), [(link, str(digest).encode())], self._leases.relying(link, digest))

    async def _forget(self, session: Session, upload: Upload) -> None:
        self._hashers.pop(session.key, None)
        await upload.abort()

    @asynccontextmanager
    async def _hold(self, session: Session, target: str | None = None) -> AsyncIterator[Upload]:
        try:
            async with self._backend.open_upload(session.key, target) as upload:
                yield upload
        except NotFound as error:
            raise _unknown(session.name, session.id) from error
        except UploadBusy as error:
            raise UploadConflict(
                "another request is writing to this upload session; wait for it, ask for the offset with GET, continue"
            ) from error

    async def _hash_again(self, upload: Upload, algorithm: str) -> Hasher:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _hash_again, upload, algorithm)

    def _hasher(self, session: Session, upload: Upload, algorithm: str, chunk: ChunkRange | None) -> Hasher | None:
        """What has seen every byte of the session, if this process has it; of `algorithm` if there is none yet. Raises
        `RangeOutOfOrder`.
        """
        start = upload.size
        if chunk is not None and chunk.first != start:
            raise RangeOutOfOrder(f"the chunk begins at byte {chunk.first}, the session ends at byte {start}", start)
        kept = self._hashers.pop(session.key, None)
        if not start:
            return Hasher(algorithm)
        return kept if kept is not None and kept.offset == start else None

    async def _receive(
        self, session: Session, upload: Upload, hasher: Hasher | None, body: Body, chunk: ChunkRange | None
    ) -> int:
        """Write a body behind what is there, and show it to the hasher; return its length in bytes."""
        start = upload.size
        try:
            await body.pump(self._writer(upload, hasher, self._limit(start, chunk), chunk))
            _check_length(upload.size - start, chunk)
        except (SizeInvalid, StorageFull):
            await upload.rewind()
            raise
        except BaseException:
            await to_its_end(self._save(session, upload, hasher))
            raise
        return upload.size - start

    @staticmethod
    def _writer(
        upload: Upload, hasher: Hasher | None, limit: int | None, chunk: ChunkRange | None = None
    ) -> Callable[[memoryview], None]:
        start = upload.size

        def write(block: memoryview) -> None:
            if limit is not None and upload.size + len(block) > limit:
                raise _too_long(start, chunk, limit)
            upload.write(block)
            if hasher is not None:
                hasher.update(block)

        return write

    async def _save(self, session: Session, upload: Upload, hasher: Hasher | None) -> None:
        fits = hasher is not None and hasher.offset == upload.size
        await upload.save(f"{upload.size} {hasher.digest()}" if hasher is not None and fits else "")
        if hasher is not None and fits:
            self._keep(session, hasher)

    def _limit(self, start: int, chunk: ChunkRange | None) -> int | None:
        if chunk is not None:
            return min(start + chunk.length, self._max_blob_bytes or start + chunk.length)
        return self._max_blob_bytes or None

    def _keep(self, session: Session, hasher: Hasher) -> None:
        self._hashers[session.key] = hasher
        if len(self._hashers) > _KEPT_HASHERS:
            self._hashers.popitem(last=False)


def _noted(upload: Upload) -> Digest | None:
    """The digest of all bytes of an upload, if its holder before has noted that."""
    size, _, digest = upload.note.partition(" ")
    return Digest.parse(digest) if size == str(upload.size) else None


def _hash_again(upload: Upload, algorithm: str) -> Hasher:
    hasher = Hasher(algorithm)
    for block in upload.read_blocks():
        hasher.update(block)
    return hasher


def _check_length(received: int, chunk: ChunkRange | None) -> None:
    if chunk is not None and received != chunk.length:
        raise SizeInvalid(f"the body has {received} bytes, its Content-Range {chunk.length}")


def _too_long(start: int, chunk: ChunkRange | None, limit: int) -> SizeInvalid:
    if chunk is not None and limit == start + chunk.length:
        return SizeInvalid(f"the body is longer than its Content-Range of {chunk.length} bytes")
    return BlobTooLarge(f"the blob is larger than the {limit} bytes that this registry accepts")


def _wrong_digest(found: Digest, wanted: Digest, size: int) -> DigestInvalid:
    return DigestInvalid(
        f"the bytes received have the digest {found}, not {wanted}; the upload is discarded",
        {"expected": str(wanted), "received": str(found), "bytes": size},
    )


def _unknown(name: RepositoryName, session: str) -> UploadUnknown:
    return UploadUnknown(
        f"there is no upload session {session[:80]!r} in repository {name}; it has finished, been cancelled or "
        "expired: begin a new one"
    )
