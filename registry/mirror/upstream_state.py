"""How an upstream does: whether it is worth asking it now, and what has come of asking it so far.

Knows no request. In memory, for each process by itself.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from registry.content.errors import PlaceRateLimited, PlaceUnavailable

_LONGEST_SECONDS = 3600.0
"""After so long it is asked again, whatever it has said: dates come from clocks, and those may be wrong."""
_MOST_AT_ONCE = 1000
"""Each costs a connection, and goes on when the client that wanted it is gone."""
_log = logging.getLogger(__name__)


class UpstreamState:
    """The state of one upstream, called `name` in the log; `rest` is for how many seconds it is left in peace after a
    failure, if it does not say so itself and we have an answer without it. What is counted is told to `counted`, too.
    """

    def __init__(
        self,
        name: str,
        rest: float,
        clock: Callable[[], float] = time.monotonic,
        counted: Callable[[str, str, int], None] | None = None,
    ) -> None:
        self.name = name
        self._rest = rest
        self._tell = counted
        self._clock = clock
        self._until = 0.0
        self._limited = False
        self._unreachable = False
        self._reason = ""
        self._counted: Counter[str] = Counter()
        self._asking = 0

    @property
    def trouble(self) -> str:
        """Why it is not to be asked now, in words; empty if it may be."""
        return self._reason if self._clock() < self._until else ""

    def check(self) -> None:
        """Raise `PlaceRateLimited` while it has told us to stay away, `PlaceUnavailable` while it cannot be reached:
        what is certain need not be waited for by everybody.
        """
        left = self._until - self._clock()
        if left <= 0 or not (self._limited or self._unreachable):
            return
        kind = PlaceRateLimited if self._limited else PlaceUnavailable
        raise kind(f"{self._reason}, and this is not cached; try again later", round(left + 1))

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While this lasts it is asked for something. Raises `PlaceUnavailable` if it is asked for too much at once."""
        if self._asking >= _MOST_AT_ONCE:
            raise PlaceUnavailable(f"{self.name} is asked for too much at once; try again in a moment")
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1

    def failed(self, error: Exception, *, unreachable: bool = False) -> None:
        """A request has failed, by no fault of its own; perhaps because the upstream cannot be reached at all."""
        self.count("failed")
        self._limited, self._unreachable = isinstance(error, PlaceRateLimited), unreachable
        seconds = self._rest
        if isinstance(error, PlaceUnavailable) and self._limited:
            seconds = min(float(error.retry_after), _LONGEST_SECONDS)
        reason = "has had too many requests" if self._limited else "does not answer as it should"
        if self._reason == "":
            _log.warning("upstream %s: %s; what is cached is served meanwhile", self.name, error)
        self._reason = f"{self.name} {reason}"
        self._until = self._clock() + seconds

    def answered(self) -> None:
        """A request was answered."""
        if self._reason:
            _log.warning("upstream %s answers again", self.name)
            self._reason, self._until, self._limited, self._unreachable = "", 0.0, False, False

    def count(self, what: str, number: int = 1) -> None:
        """Add to what is told now and then."""
        self._counted[what] += number
        if self._tell is not None:
            self._tell(self.name, what, number)

    def told(self) -> str:
        """What was counted since this was asked last, in words; empty if nothing was."""
        counted, self._counted = self._counted, Counter()
        if not counted:
            return ""
        return f"upstream {self.name}: " + ", ".join(f"{number} {what}" for what, number in sorted(counted.items()))
