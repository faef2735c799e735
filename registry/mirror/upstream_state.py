"""How an upstream does: whether it is worth asking it now, and what has come of asking it so far.

Knows no request. In memory, for each process by itself.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable

from registry.content.errors import PlaceRateLimited, PlaceUnavailable

_log = logging.getLogger(__name__)


class UpstreamState:
    """The state of one upstream, called `name` in the log; `rest` is for how many seconds it is left in peace after a
    failure, if it does not say so itself and we have an answer without it.
    """

    def __init__(self, name: str, rest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._rest = rest
        self._clock = clock
        self._until = 0.0
        self._limited = False
        self._unreachable = False
        self._reason = ""
        self._counted: Counter[str] = Counter()

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

    def failed(self, error: Exception, *, unreachable: bool = False) -> None:
        """A request has failed, by no fault of its own; perhaps because the upstream cannot be reached at all."""
        self.count("failed")
        self._limited, self._unreachable = isinstance(error, PlaceRateLimited), unreachable
        seconds = float(error.retry_after) if isinstance(error, PlaceUnavailable) and self._limited else self._rest
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

    def told(self) -> str:
        """What was counted since this was asked last, in words; empty if nothing was."""
        counted, self._counted = self._counted, Counter()
        if not counted:
            return ""
        return f"upstream {self.name}: " + ", ".join(f"{number} {what}" for what, number in sorted(counted.items()))
