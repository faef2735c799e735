"""An upload in a bucket. Its truth is one small object, replaced by compare-and-swap: which pieces there are, and the
last bytes, those that are too few for a piece.

    <key>                 {"size": …, "note": …, "pieces": [[name, length], …]}, a newline, the last bytes
    <key>.<name>          a piece: 5 MiB or more, up to several GiB, itself written in parts

There is no lock: of several holders, in whatever processes, the first one that saves wins, and the others' pieces are
named by nobody. So a holder that died is in nobody's way. An upload that becomes an object is put together inside the
bucket; one whose end is known from the beginning is written straight to its place (`direct`), and no piece is needed.
"""

import itertools
import json
import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from storage_backends.base import Ready, Upload
from storage_backends.errors import Misconfigured, StorageError, Unavailable, UploadBusy, VersionMismatch
from storage_backends.s3_bucket import Bucket, etag_of
from storage_backends.s3_multipart import MultipartWriter, PartSender, Piece, assemble
from storage_backends.s3_stream import InThread, ObjectStream
from storage_backends.waiting import to_its_end

SIZE = "cargohold-size"
"""The metadata that says how many bytes an upload holds."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Saved:
    """What lies in the bucket of an upload; `version` is that of its object, empty if it has none."""

    pieces: tuple[Piece, ...] = ()
    rest: bytes = b""
    note: str = ""
    version: str = ""

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(piece.length for piece in self.pieces) + len(self.rest)


def read_saved(bucket: Bucket, key: str) -> Saved:
    """What was saved of the upload `key`. *Blocking*. Raises `NotFound`."""
    answer, data = bucket.get(key)
    head, _, rest = data.partition(b"\n")
    state = json.loads(head)
    pieces = tuple(Piece(f"{key}.{name}", length) for name, length in state["pieces"])
    return Saved(pieces, rest, state["note"], etag_of(answer))


def write_saved(bucket: Bucket, key: str, saved: Saved, **condition: str) -> str:
    """Replace the object of an upload; return its version. *Blocking*. Raises `VersionMismatch`."""
    pieces = [[piece.key.removeprefix(f"{key}."), piece.length] for piece in saved.pieces]
    head = json.dumps({"size": saved.size, "note": saved.note, "pieces": pieces}).encode()
    return bucket.put(key, head + b"\n" + saved.rest, {SIZE: str(saved.size)}, **condition)


class S3Upload(Upload):
    """An upload that is held. With `target` nothing was saved yet, and its bytes go straight to that object."""

    def __init__(self, sender: PartSender, in_thread: InThread, key: str, saved: Saved, target: str | None) -> None:
        self.note = saved.note
        self._sender = sender
        self._in_thread = in_thread
        self._bucket = sender.bucket
        self._sizes = sender.bucket.options.sizes
        self._key = key
        self._saved = saved
        self._direct = target
        self._main: MultipartWriter | None = None
        """What becomes the target."""
        self._gathered: list[Piece] = list(saved.pieces)
        self._perhaps_saved: frozenset[Piece] = frozenset()
        """What a save names of which nobody knows whether it was carried out."""
        self._piece: MultipartWriter | None = None
        """What becomes the next piece, of `_piece_size` bytes so far."""
        self._piece_size = 0
        self._straight = 0
        """Bytes that went into `_main`."""
        self._buffer = sender.take_buffer()
        """The last bytes, of which there are `_filled`, and room for a part at least."""
        self._filled = 0
        self._fill(saved.rest)

    @property
    def size(self) -> int:  # type: ignore[override]  # follows from the rest
        """Bytes so far."""
        gathered = sum(piece.length for piece in self._gathered)
        return self._straight + gathered + self._piece_size + self._filled

    def write(self, block: memoryview) -> None:
        """Append a block; a part that is full goes on its way. See the contract."""
        try:
            while len(block):
                if self._filled >= self._sizes.part:  # saved where parts are larger
                    self._send_part()
                count = min(len(block), self._sizes.part - self._filled)
                memoryview(self._buffer)[self._filled : self._filled + count] = block[:count]
                self._filled += count
                block = block[count:]
                if self._filled == self._sizes.part:
                    self._send_part()
        except StorageError:
            self._drop()
            raise

    def _send_part(self) -> None:
        """Send the buffer, as a part of the target or of a piece."""
        straight = self._direct is not None and self._piece is None
        if straight and self._main is None:
            self._main = MultipartWriter(self._sender, str(self._direct))
        if straight and self._main is not None and self._main.parts < self._sizes.direct_parts:
            self._send_buffer(self._main)
            self._straight += self._filled
        else:
            if self._piece is None:
                self._piece = MultipartWriter(self._sender, f"{self._key}.{uuid.uuid4().hex}")
            self._send_buffer(self._piece)
            self._piece_size += self._filled
        self._filled = 0
        if self._piece is not None and self._piece_size >= self._sizes.segment:
            self._end_piece()

    def _send_buffer(self, writer: MultipartWriter) -> None:
        if self._filled == len(self._buffer):
            writer.add_buffer(self._buffer)
        else:  # it is larger than a part
            writer.add(self._rest())
        self._buffer = self._sender.take_buffer()

    def _fill(self, data: bytes) -> None:
        """Let the buffer hold `data`. Another process may have saved more than a part of ours."""
        if len(data) > len(self._buffer):
            self._buffer = bytearray(len(data))
        memoryview(self._buffer)[: len(data)] = data  # which never changes its length, as a slice of it would
        self._filled = len(data)

    def _rest(self) -> bytes:
        """What the buffer holds."""
        return bytes(memoryview(self._buffer)[: self._filled])

    def _end_piece(self) -> None:
        """Make the piece that is being written an object, with the buffer as its last part."""
        if self._piece is None:
            return
        if self._filled:
            self._piece_size += self._filled
            self._piece.add(self._rest())
            self._filled = 0
        self._piece.complete()
        self._gathered.append(Piece(self._piece.key, self._piece_size))
        self._piece, self._piece_size = None, 0

    async def save(self, note: str = "") -> None:
        """See the contract. What went straight to its target cannot be kept."""
        if self._direct is not None:
            await self.rewind()
            return
        await to_its_end(self._in_thread(self._save, note))

    def _save(self, note: str) -> None:
        try:
            self._end_piece()
            joined = self._join()
        except StorageError:
            self._drop()
            raise
        now = Saved(tuple(self._gathered), self._rest(), note, self._saved.version)
        if now == self._saved:
            return
        try:
            version = write_saved(self._bucket, self._key, now, IfMatch=self._saved.version)
        except VersionMismatch as error:
            raise UploadBusy(self._key) from error
        except StorageError:
            self._perhaps_saved = frozenset(now.pieces)
            raise
        self._saved = Saved(now.pieces, now.rest, note, version)
        self._remove(joined)

    def _join(self) -> list[str]:
        """Make one piece of very many: each becomes a part of the object in the end, and these are counted. The keys of
        those that are not needed then.
        """
        small = list(itertools.takewhile(lambda piece: piece.length < self._sizes.copy_part, reversed(self._gathered)))
        if len(small) < self._sizes.pieces:
            return []
        small.reverse()
        whole = Piece(f"{self._key}.{uuid.uuid4().hex}", sum(piece.length for piece in small))
        assemble(self._sender, whole.key, small)
        self._gathered[-len(small) :] = [whole]
        return [piece.key for piece in small]

    async def rewind(self) -> None:
        """See the contract."""
        await to_its_end(self._in_thread(self._forget_unsaved))

    def _forget_unsaved(self) -> None:
        self._drop(keep_pieces=False)

    def _drop(self, *, keep_pieces: bool = True) -> None:
        """Forget what is on its way; of what was written since the last save whole pieces can be kept."""
        for writer in (self._main, self._piece):
            if writer is not None:
                writer.abort()
        self._main = self._piece = None
        self._straight = self._piece_size = 0
        saved = self._perhaps_saved.union(self._saved.pieces)
        dropped = [piece.key for piece in self._gathered if piece not in saved]
        if keep_pieces and self._direct is None and dropped:
            self._filled = 0
            return
        self._gathered = list(self._saved.pieces)
        self._fill(self._saved.rest)
        self._remove(dropped)

    def read_blocks(self) -> Iterator[memoryview]:
        """See the contract. Not for what goes straight to its target: parts cannot be read."""
        self._end_piece()
        for piece in self._gathered:
            answer = self._bucket.call("get_object", piece.key, Range=f"bytes=0-{piece.length - 1}")
            with closing(ObjectStream(self._bucket, piece.key, answer, 0)) as stream:
                while block := stream.read():
                    yield memoryview(block)
        yield memoryview(self._rest())

    async def commit(self, key: str, first: Sequence[tuple[str, bytes]] = (), ready: Ready | None = None) -> None:
        """See the contract."""
        for place, data in first:
            await to_its_end(self._in_thread(self._bucket.put, place, data))
        if ready is not None:
            await ready()
        await to_its_end(self._in_thread(self._commit, key))

    def _commit(self, key: str) -> None:
        try:
            self._place(key)
        except StorageError:
            self._drop()
            raise
        self._forget()

    def _place(self, key: str) -> None:
        if self._main is not None:
            self._end_piece()
            for piece in self._gathered:
                self._main.add_copy(piece, 0, piece.length)
            if self._filled:
                self._main.add(self._rest())
            self._main.complete()
            self._main = None
            return
        self._end_piece()
        if self._gathered:
            assemble(self._sender, key, self._gathered, self._rest())
        else:
            self._bucket.put(key, self._rest())

    async def abort(self) -> None:
        """See the contract."""
        await to_its_end(self._in_thread(self._abort))

    def _abort(self) -> None:
        self._drop(keep_pieces=False)
        self._bucket.delete_all(self._own_keys())

    async def release(self) -> None:
        """Forget what was neither saved nor committed."""
        if self._main is not None or self._piece is not None or self._gathered != list(self._saved.pieces):
            await self.rewind()
        self._sender.give_buffer(self._buffer)

    def _forget(self) -> None:
        """Remove what the upload needed; it is an object now."""
        self._remove(self._own_keys())
        self._gathered, self._saved, self._filled = [], Saved(), 0

    def _own_keys(self) -> list[str]:
        own = [self._key] if self._saved.version else []
        return own + [piece.key for piece in self._gathered]

    def _remove(self, keys: Sequence[str]) -> None:
        try:
            if len(keys) == 1:
                self._bucket.delete(keys[0])
            elif keys:
                self._bucket.delete_all(keys)
        except (Unavailable, Misconfigured):
            _log.warning("what is left of upload %r is removed when it has expired", self._key)
