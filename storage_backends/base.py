"""The storage contract: what every backend promises, in prose above each verb.

Knows keys and bytes. Must not know digests, repositories or HTTP.

Keys are `/`-separated strings that pass `keys.check_key`. An object is small and whole (`get`, `put`) or large and
streamed (uploads, `open_read`); both kinds share one name space. There are no directories: a prefix exists as long as
an object lies below it, and is gone with the last one.

Durable means: on stable storage, so that neither SIGKILL nor a power cut takes it back. Atomic means: a reader in any
process sees the old object, or the new one, or none; never a part. Reads are never answered from a cache that was not
checked against the storage first.

All verbs may raise `InvalidKey` and `Unavailable` besides what they name. Verbs are coroutines and never hold the event
loop for longer than a metadata operation of the storage takes; the methods of `Upload` that say *blocking* are for a
worker thread.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from storage_backends.sendable import FileRegion, Sendable


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object without reading it.

    `size` in bytes, `modified` in seconds since the epoch. `version` changes whenever the object is replaced; it means
    nothing else and is only ever compared.
    """

    key: str
    size: int
    modified: float
    version: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A small object, read whole."""

    data: bytes
    info: ObjectInfo


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a listing. `more` is true if entries remain after the last one."""

    entries: tuple[str, ...]
    more: bool


Ready = Callable[[], Awaitable[None]]


class Upload(ABC):
    """One upload, held by one writer until its context ends.

    What was saved stays, so that any process can go on from `size`; what was written and not saved may be gone when
    the context ends. Only `commit` makes anything visible.
    """

    size: int
    """Bytes that the upload holds now."""
    note: str
    """What the holder before left for the next one with `save`. Empty where the storage keeps no notes."""

    @abstractmethod
    def write(self, block: memoryview) -> None:
        """Append a block. *Blocking*; one call at a time. The block may be reused when the call returns.

        Raises `Unavailable` (`StorageFull`); `size` then says how much was kept.
        """

    @abstractmethod
    async def save(self, note: str = "") -> None:
        """Keep what was written for whoever holds the upload next, in whatever process, with a short note for it.

        Raises `Unavailable`, or `UploadBusy` if another holder has saved or ended the upload meanwhile: of several,
        where the storage has no locks, the first one wins. Need not survive a power cut; does survive SIGKILL.
        """

    @abstractmethod
    async def rewind(self) -> None:
        """Drop everything that was written since the upload was opened or last saved."""

    @abstractmethod
    def read_blocks(self) -> Iterator[memoryview]:
        """All bytes, block by block; a block is valid until the next one. *Blocking*."""

    @abstractmethod
    async def commit(self, key: str, first: Sequence[tuple[str, bytes]] = (), ready: Ready | None = None) -> None:
        """Put each (key, data) of `first` in order, wait for `ready`, then make the upload the object `key`.

        All is durable on return. `key` appears whole and atomically, when `ready` has returned, with everything of
        `first` visible to every process before it was called; an object already there is replaced. The upload is gone
        afterwards. On an error, also one of `ready`, nothing that was visible before is lost and the upload is still
        there as it was saved, or `key` holds its bytes, or it is gone because the storage has lost some of them; of
        `first` a beginning may be there.
        """

    @abstractmethod
    async def abort(self) -> None:
        """Forget the upload and its bytes."""


class StorageBackend(ABC):
    """A place for objects: a directory, a bucket, a dictionary."""

    concurrency: int = 1
    """How many calls are worth making at the same time: one where each takes microseconds on the event loop, more where
    it is a round trip."""
    lists_marks: bool = False
    """Whether listings may still show what was deleted with `if_match`, although no other verb finds it."""

    @abstractmethod
    async def get(self, key: str) -> StoredObject:
        """A small object, whole. Raises `NotFound`."""

    @abstractmethod
    async def put(
        self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None, durable: bool = True
    ) -> None:
        """Store a small object, atomically; durable on return, or (unless `durable`) sure to survive SIGKILL only.

        With `if_absent` it raises `AlreadyExists` if the key is taken; with `if_match` it raises `VersionMismatch`
        unless the object there has that version. Of several conditional writers, in whatever processes, exactly one
        wins.
        """

    @abstractmethod
    async def put_many(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Store several small objects, each atomically; all are durable on return. They become visible in the given
        order; on an error the first ones may be there and the last ones not.
        """

    @abstractmethod
    async def stat(self, key: str) -> ObjectInfo:
        """What is known of an object. Raises `NotFound`."""

    @abstractmethod
    async def delete(self, key: str, *, if_match: str | None = None, durable: bool = True) -> None:
        """Remove an object; durable on return, unless it need not be. No error if it is not there.

        With `if_match` it raises `VersionMismatch` if the object there has another version, and removes nothing.
        """

    @abstractmethod
    async def delete_many(self, keys: Sequence[str], *, durable: bool = True) -> None:
        """Remove several objects, the first one before all others; durable on return, unless it need not be."""

    @abstractmethod
    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        """Keys that begin with `prefix` and come after `after` (a whole key), in byte order, at most `limit`."""

    @abstractmethod
    async def children(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        """The names that follow `prefix` (empty, or ending in `/`) up to the next `/`, in byte order of the *name*.

        Only those after the name `after`, at most `limit`. A name is reported once, for an object and for a prefix
        alike. The cost follows the page where the storage allows it. Nothing there: an empty page.

        A deletion that was killed may leave a name below which nothing lies: see `forget_empty`.
        """

    async def forget_empty(self, prefix: str, *, dry_run: bool = False) -> bool:
        """True if nothing lies below a prefix (ending in `/`) that `children` has just named; it is named no more then,
        unless it is a `dry_run`.

        A storage that names only prefixes of what is there says no without a look.
        """
        return False

    @abstractmethod
    async def open_read(self, key: str, start: int = 0, length: int | None = None) -> Sendable:
        """The bytes of an object from `start`, `length` of them (all that follow if None). Raises `NotFound`.

        The caller keeps `start + length` within the object's size.
        """

    @abstractmethod
    async def copy(self, source: str, target: str) -> None:
        """Make `target` an object with the bytes of `source`, atomically; durable on return. Raises `NotFound`."""

    @abstractmethod
    async def create_upload(self, key: str) -> None:
        """Begin an upload that is known by `key` to every process from now on. Raises `AlreadyExists`.

        Need not survive a power cut; does survive the end of this process.
        """

    @abstractmethod
    async def stat_upload(self, key: str) -> ObjectInfo:
        """Size so far and time of the last write. Raises `NotFound`."""

    async def open_unfinished(self, key: str) -> FileRegion | None:
        """What an upload holds by now, as a file that goes on growing while its holder, in whatever process, writes;
        the file stays what it is when the upload has become an object. None where there is no such file. Raises
        `NotFound`.
        """
        return None

    @abstractmethod
    def open_upload(self, key: str, target: str | None = None) -> AbstractAsyncContextManager[Upload]:
        """Hold an upload. Entering raises `NotFound`, or `UploadBusy` if it is seen at once that another does.

        If nothing was saved yet and `target` is given, the object that it is meant to become, then a storage may write
        straight to its place: `save` need not keep anything then.
        """

    @abstractmethod
    def new_upload(self, target: str) -> AbstractAsyncContextManager[Upload]:
        """An upload that is meant to become `target`, known to nobody else; gone when its context ends."""

    @abstractmethod
    async def expire_uploads(self, prefix: str, older_than: float) -> int:
        """Forget what nobody has written to for `older_than` seconds: the uploads whose keys begin with `prefix`, and
        what killed processes left of theirs, which may go sooner. Return how many things that were.
        """

    async def presign(self, key: str, content_type: str) -> str | None:
        """A URL under which whoever has it can GET the object, or ranges of it, for a while; None if there is no such
        thing here. The answer there has the given content type. The object need not be there.
        """
        return None

    @abstractmethod
    async def check(self) -> None:
        """Show that the storage can be read and written now. Raises `Unavailable` with a message for the operator."""
