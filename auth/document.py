"""One JSON object in storage that several processes read often and change seldom.

Changed by compare-and-swap, so that no change is lost. Read again when it has changed, and looked at no more than once
in `max_age` seconds: that is how long a change takes to be seen everywhere. Knows storage; not what the object means.
"""

import json
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from storage_backends.base import StorageBackend
from storage_backends.errors import AlreadyExists, NotFound, VersionMismatch

T = TypeVar("T")
_ATTEMPTS = 100
_ABSENT = ""


class Document(Generic[T]):
    """The object at `key`, as a value that `decode` makes of JSON (None if it is not there) and `encode` turns back."""

    def __init__(
        self,
        backend: StorageBackend,
        key: str,
        decode: Callable[[Any], T],
        encode: Callable[[T], Any],
        *,
        max_age: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._key = key
        self._decode = decode
        self._encode = encode
        self._max_age = max_age
        self._clock = clock
        self._known: tuple[str, T] | None = None
        self._looked = float("-inf")

    async def read(self, *, fresh: bool = False) -> T:
        """The value, at most `max_age` seconds old; as it is now if `fresh`. Raises the storage's errors."""
        now = self._clock()
        if self._known is not None and not fresh and now - self._looked < self._max_age:
            return self._known[1]
        _, value = await self._load()
        self._looked = now
        return value

    async def change(self, change: Callable[[T], T]) -> T:
        """Replace the value by what `change` makes of it, which must be able to run more than once; durable on return.

        Whatever `change` raises passes through, and nothing is changed.
        """
        for _ in range(_ATTEMPTS):
            version, value = await self._load()
            changed = change(value)
            if changed == value and version != _ABSENT:
                return value
            data = json.dumps(self._encode(changed), separators=(",", ":")).encode()
            try:
                if version == _ABSENT:
                    await self._backend.put(self._key, data, if_absent=True)
                else:
                    await self._backend.put(self._key, data, if_match=version)
            except (AlreadyExists, VersionMismatch):
                continue  # another process has changed it: begin again with what it made
            return await self.read(fresh=True)
        raise TimeoutError(f"{self._key} is changed by others without end")

    async def _load(self) -> tuple[str, T]:
        try:
            stored = await self._backend.get(self._key)
        except NotFound:
            found = (_ABSENT, self._decode(None))
        else:
            if self._known is not None and self._known[0] == stored.info.version:
                return self._known
            found = (stored.info.version, self._decode(json.loads(stored.data)))
        self._known = found
        return found
