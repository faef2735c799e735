"""The policy of now: read again when its file has changed, and kept as it was if the new one is wrong.

Knows that there is a function which loads and one which tells whether something has changed; not where rules are.
"""

import logging
import time
from collections.abc import Callable, Hashable

from auth.policy import Policy

_LOOK_SECONDS = 1.0
_log = logging.getLogger(__name__)


class PolicySource:
    """A policy that is at most a second behind its file.

    `load` gives the policy or raises `ValueError` with a message that names the mistakes; `signature` changes when the
    file does.
    """

    def __init__(
        self,
        policy: Policy,
        load: Callable[[], Policy] | None = None,
        signature: Callable[[], Hashable] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._load = load
        self._signature = signature
        self._clock = clock
        self._seen = signature() if signature is not None else None
        self._looked = clock()

    def current(self) -> Policy:
        """The policy that counts now."""
        if self._load is None or self._signature is None or self._clock() - self._looked < _LOOK_SECONDS:
            return self._policy
        self._looked = self._clock()
        seen = self._signature()
        if seen != self._seen:
            self._seen = seen
            try:
                self._policy = self._load()
            except ValueError as error:
                _log.error("the access rules in use are kept, the changed ones are wrong: %s", error)
            else:
                _log.info("the access rules were read again: %d rules", len(self._policy.rules))
        return self._policy
