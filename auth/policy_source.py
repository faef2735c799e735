"""The policy of now: read again when its file has changed, and kept as it was if the new one is wrong.

Knows that there is a function which loads and one which tells whether something has changed; not where rules are.
"""

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from auth.policy import Policy

_LOOK_SECONDS = 1.0
_REST_SECONDS = 1.0
_NEVER = object()
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RulesFile:
    """Where rules are written.

    `load` gives the policy that takes the place of the one it is told, or raises `ValueError` with a message that names
    the mistakes. `signature` changes when the file does; `age` says for how many seconds nobody has written to it.
    """

    load: Callable[[Policy], Policy]
    signature: Callable[[], Hashable]
    age: Callable[[], float]


class PolicySource:
    """A policy that is about a second behind its file. `seen` is the signature with which `policy` was read.

    A file that is being written may be cut anywhere and still be read without a mistake, less the rules that deny. So
    it counts when it has been left alone for a second: by its age, or (where clocks differ) at two looks.
    """

    def __init__(
        self,
        policy: Policy,
        file: RulesFile | None = None,
        seen: Hashable = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._file = file
        self._seen = seen
        self._changing: Hashable = _NEVER
        self._clock = clock
        self._next_look = clock()

    def current(self) -> Policy:
        """The policy that counts now."""
        if self._file is not None and self._clock() >= self._next_look:
            self._next_look = self._clock() + _LOOK_SECONDS
            self._look(self._file)
        return self._policy

    def _look(self, file: RulesFile) -> None:
        signature = file.signature()
        if signature != self._seen and self._is_at_rest(file, signature):
            try:
                found: Policy | ValueError = file.load(self._policy)
            except ValueError as error:
                found = error
            if file.signature() == signature:  # else it was written while it was read
                self._seen = signature
                self._take(found)

    def _is_at_rest(self, file: RulesFile, signature: Hashable) -> bool:
        before, self._changing = self._changing, signature
        rest = _REST_SECONDS - file.age()
        if 0 < rest <= _REST_SECONDS:
            self._next_look = self._clock() + rest
        return rest <= 0 or signature == before

    def _take(self, found: Policy | ValueError) -> None:
        if isinstance(found, ValueError):
            _log.error("the access rules in use are kept, the changed ones are wrong: %s", found)
            return
        before, self._policy = len(self._policy.rules), found
        _log.info("the access rules were read again: %d rules, before that %d", len(found.rules), before)
