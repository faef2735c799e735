"""What is remembered for a while, in bounded memory: by key, until a time. Knows nothing of what it is."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Memory(Generic[V]):
    """Values, each for `seconds` at most, and together of a weight of `most`; the oldest goes first. The newest stays,
    however heavy it is. Each weighs 1 if nothing says what.
    """

    def __init__(self, seconds: float, most: int = 10_000, weight: Callable[[V], int] = lambda _: 1) -> None:
        self._seconds = seconds
        self._most = most
        self._weight = weight
        self._weighs = 0
        self._values: OrderedDict[Hashable, tuple[float, V]] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        """The value; None if there is none any more."""
        found = self._values.get(key)
        if found is None:
            return None
        if time.monotonic() >= found[0]:
            self._forget(key)
            return None
        return found[1]

    def keep(self, key: Hashable, value: V) -> None:
        """Remember a value from now on."""
        if key in self._values:
            self._forget(key)
        self._values[key] = (time.monotonic() + self._seconds, value)
        self._weighs += self._weight(value)
        while self._weighs > self._most and len(self._values) > 1:
            self._forget(next(iter(self._values)))

    def _forget(self, key: Hashable) -> None:
        self._weighs -= self._weight(self._values.pop(key)[1])
