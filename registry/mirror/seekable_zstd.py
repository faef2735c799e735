"""Zstandard that can be read at any place: independent frames and a table of them at the end, which every zstd program
skips. The one door for the package `zstandard`.

Source: the Zstandard Seekable Format, in zstd's contrib/seekable_format.
"""

import struct
import threading
from array import array
from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from typing import Protocol

import zstandard

from registry.mirror.archive import ArchiveInvalid, RandomBytes

MAGIC = b"\x28\xb5\x2f\xfd"
FRAME = 4 * 1024 * 1024
"""Bytes of the content in one frame."""
_LARGEST_FRAME = 16 * 1024 * 1024
_LARGEST_PACKED = _LARGEST_FRAME + 1024 * 1024
"""What cannot be compressed becomes a little larger. A frame is read whole, packed and unpacked."""
_LARGEST_TABLE = 64 * 1024 * 1024
_MOST_EXPANSION = 100
_FREE_EXPANSION = 64 * 1024 * 1024
"""So much content may come out of next to nothing; beyond, at most `_MOST_EXPANSION` times what is there."""
_CACHED = 4
_SKIPPABLE = 0x184D2A5E
_SEEKABLE = 0x8F92EAB1
_HEAD = struct.Struct("<II")
_ENTRY = struct.Struct("<II")
_FOOT = struct.Struct("<IBI")


class Output(Protocol):
    """Where bytes are written one after the other. All is *blocking*."""

    def write(self, data: bytes | memoryview) -> None:
        """Append. Raises `OSError`."""
        ...

    def tell(self) -> int:
        """Bytes so far."""
        ...

    def truncate(self, size: int) -> None:
        """Drop all but the first `size` bytes."""
        ...

    def finish(self) -> None:
        """End it: nothing is written any more."""
        ...


class ZstdOutput:
    """Compresses into another output. `tell` and `truncate` speak of the content; `truncate` only of a place at which
    `tell` has been asked.
    """

    def __init__(self, output: Output, level: int = 3) -> None:
        self._output = output
        self._compressor = zstandard.ZstdCompressor(level=level, write_content_size=True)
        self._waiting = bytearray()
        self._frames: list[tuple[int, int]] = []  # compressed and not
        self._done = 0

    def write(self, data: bytes | memoryview) -> None:
        """See `Output`."""
        self._waiting += data
        while len(self._waiting) >= FRAME:
            self._end_frame(FRAME)

    def tell(self) -> int:
        """See `Output`; ends a frame, so that this place can be returned to."""
        if self._waiting:
            self._end_frame(len(self._waiting))
        return self._done

    def truncate(self, size: int) -> None:
        """See `Output`."""
        self._waiting.clear()
        while self._done > size:
            self._done -= self._frames.pop()[1]
        if self._done != size:
            raise ValueError(f"no frame ends at {size}")
        self._output.truncate(sum(compressed for compressed, _ in self._frames))

    def finish(self) -> None:
        """See `Output`; writes the table."""
        self.tell()
        table = b"".join(_ENTRY.pack(*frame) for frame in self._frames)
        self._output.write(_HEAD.pack(_SKIPPABLE, len(table) + _FOOT.size) + table)
        self._output.write(_FOOT.pack(len(self._frames), 0, _SEEKABLE))
        self._output.finish()

    def _end_frame(self, size: int) -> None:
        frame = self._compressor.compress(memoryview(self._waiting)[:size].tobytes())
        del self._waiting[:size]
        self._output.write(frame)
        self._frames.append((len(frame), size))
        self._done += size


class ZstdBytes:
    """The content of a compressed archive that has a table of its frames. Holds a few frames."""

    def __init__(self, data: RandomBytes) -> None:
        self._data = data
        compressed, plain = _read_table(data)
        self._starts = array("Q", accumulate(compressed, initial=0))
        self._plain = array("Q", accumulate(plain, initial=0))
        self.size = self._plain[-1]
        if self.size > _FREE_EXPANSION + _MOST_EXPANSION * data.size:
            raise ArchiveInvalid(
                f"the archive has {data.size} bytes and claims to expand to {self.size}; if you trust it, decompress "
                "it yourself with `zstd -d`"
            )
        self._frames: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def pread(self, offset: int, length: int) -> bytes:
        """See `RandomBytes`. Raises `ArchiveInvalid` besides."""
        blocks: list[bytes] = []
        end = min(offset + length, self.size)
        while offset < end:
            number = bisect_right(self._plain, offset) - 1
            start = self._plain[number]
            block = self._frame(number)[offset - start : end - start]
            blocks.append(block)
            offset += len(block)
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def close(self) -> None:
        """See `RandomBytes`."""
        self._data.close()

    def _frame(self, number: int) -> bytes:
        with self._lock:
            if number in self._frames:
                self._frames.move_to_end(number)
                return self._frames[number]
            frame = self._frames[number] = self._decompressed(number)
            if len(self._frames) > _CACHED:
                self._frames.popitem(last=False)
            return frame

    def _decompressed(self, number: int) -> bytes:
        size = self._plain[number + 1] - self._plain[number]
        packed = self._data.pread(self._starts[number], self._starts[number + 1] - self._starts[number])
        try:
            if zstandard.frame_content_size(packed) not in {size, -1}:
                raise ArchiveInvalid(f"frame {number} of the archive has another size than its table says")
            found = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
        except zstandard.ZstdError as error:
            raise ArchiveInvalid(f"frame {number} of the archive cannot be decompressed: {error}") from error
        if len(found) != size:
            raise ArchiveInvalid(f"frame {number} of the archive has {len(found)} bytes, its table says {size}")
        return found


def _read_table(data: RandomBytes) -> "tuple[array[int], array[int]]":
    """Sizes of all frames, compressed and not. Raises `ArchiveInvalid`."""
    foot = data.pread(max(0, data.size - _FOOT.size), _FOOT.size)
    count, descriptor, magic = _FOOT.unpack(foot) if len(foot) == _FOOT.size else (0, 0, 0)
    if magic != _SEEKABLE or descriptor & 0x7C:
        raise ArchiveInvalid(
            "the archive is compressed, and cut off or without a table of its parts; if it came from another program, "
            "decompress it first with `zstd -d`"
        )
    entry_size = _ENTRY.size + (4 if descriptor & 0x80 else 0)
    size = count * entry_size
    start = data.size - _FOOT.size - size
    if size > _LARGEST_TABLE or start < _HEAD.size:
        raise ArchiveInvalid(f"the archive's table claims {count} frames")
    if _HEAD.unpack(data.pread(start - _HEAD.size, _HEAD.size)) != (_SKIPPABLE, size + _FOOT.size):
        raise ArchiveInvalid("the archive's table of frames is damaged")
    numbers = array("I", data.pread(start, size))
    step = entry_size // 4
    compressed, plain = numbers[0::step], numbers[1::step]
    is_large = max(compressed, default=0) > _LARGEST_PACKED or max(plain, default=0) > _LARGEST_FRAME
    if is_large or sum(compressed) != start - _HEAD.size:
        raise ArchiveInvalid("the archive's table of frames does not fit the archive")
    return compressed, plain
