"""A memory backend that gives up after some objects, for tests of what is stopped anywhere."""

import time
from collections.abc import Callable

from storage_backends.errors import Unavailable
from storage_backends.memory import MemoryBackend


class BreakingBackend(MemoryBackend):
    """Takes only `room` objects more; `order` has the keys in which they came."""

    def __init__(self, clock: Callable[[], float] = time.time, *, room: int = 1_000_000) -> None:
        super().__init__(clock)
        self.room = room
        self.order: list[str] = []

    async def put(
        self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None, durable: bool = True
    ) -> None:
        """See the contract. Raises `Unavailable` when there is no room left."""
        if not self.room:
            raise Unavailable("the storage is gone")
        self.room -= 1
        self.order.append(key)
        await super().put(key, data, if_absent=if_absent, if_match=if_match)
