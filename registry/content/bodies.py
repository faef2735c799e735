"""The body of a request as the domain sees it: something that pours itself into a function.

Knows nothing of HTTP. The two forms that exist (straight from the socket, and ASGI messages) live above.
"""

from collections.abc import Callable
from typing import Protocol

Write = Callable[[memoryview], None]
"""Takes the next block, valid during the call only. Blocking; called from a worker thread, one call at a time."""


class Body(Protocol):
    """A request body that has not been read yet."""

    async def pump(self, write: Write) -> int:
        """Feed the whole body to `write`, in order; return the number of bytes.

        Whatever `write` raises ends the pump and comes out here. Raises `UploadInterrupted` if the client goes away,
        falls silent, or sends a body that is not well-formed; the bytes before that have been written.
        """
        ...
