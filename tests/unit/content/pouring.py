"""Request bodies for tests: bytes that pour themselves, whole, cut off, or held up until the test lets them go on."""

import asyncio

from registry.content.bodies import Write
from registry.content.errors import UploadInterrupted


class Poured:
    """A body of these blocks; with `cut` the client goes away behind the last one."""

    def __init__(self, *blocks: bytes, cut: bool = False) -> None:
        self._blocks = blocks
        self._cut = cut
        self.pumped = False

    async def pump(self, write: Write) -> int:
        """See `Body`."""
        self.pumped = True
        for block in self._blocks:
            write(memoryview(block))
        if self._cut:
            raise UploadInterrupted("the client went away in the middle of the body")
        return sum(map(len, self._blocks))


class HeldUp:
    """A body that stops behind its first block until `go_on` is set; `begun` is set when it stops there."""

    def __init__(self, *blocks: bytes) -> None:
        self._blocks = blocks
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def pump(self, write: Write) -> int:
        """See `Body`."""
        write(memoryview(self._blocks[0]))
        self.begun.set()
        await self.go_on.wait()
        for block in self._blocks[1:]:
            write(memoryview(block))
        return sum(map(len, self._blocks))
