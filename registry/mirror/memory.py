"""What is remembered for a while, in bounded memory: by key, until a time. Knows nothing of what it is."""

import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Memory(Generic[V]):
    """Up to `most` values, each for `seconds` at most; the oldest goes first."""

    def __init__(self, seconds: float, most: int = 10_000) -> None:
        self._seconds = seconds
        self._most = most
        self._values: OrderedDict[Hashable, tuple[float, V]] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        """The value; None if there is none any more."""
        found = self._values.get(key)
        if found is None:
            return None
        if time.monotonic() >= found[0]:
            del self._values[key]
            return None
        return found[1]

    def keep(self, key: Hashable, value: V) -> None:
        """Remember a value from now on."""
        self._values.pop(key, None)
        self._values[key] = (time.monotonic() + self._seconds, value)
        if len(self._values) > self._most:
            self._values.popitem(last=False)
