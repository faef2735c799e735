"""Places for work that costs memory or threads: so many at the same time, and whoever comes then is asked to wait."""

from collections.abc import Iterator
from contextlib import contextmanager

from registry.api.errors import TooManyUploads


class Places:
    """At most `number` takers at a time; `what` they do, and where the number comes from, for the message."""

    def __init__(self, number: int, what: str) -> None:
        self._number = number
        self._what = what
        self._taken = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place. Raises `TooManyUploads` at once if none is free."""
        if self._taken >= self._number:
            raise TooManyUploads(f"{self._taken} {self._what}; try again in a moment")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
