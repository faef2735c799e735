"""Failed logins, counted by address and by account, in memory. Knows no password and no identity.

An address is held back after `per_address` failures within `window` seconds, whatever the accounts; an account after
`per_account` failures from wherever, but not for an address from which it has logged in within a day: strangers cannot
lock somebody out. Each time in a row lasts twice as long, up to a quarter of an hour.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from auth.errors import Throttled, Unauthenticated

_MOST = 10_000
_LONGEST_SECONDS = 900.0
_FAMILIAR_SECONDS = 86_400.0
K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class _Count:
    """Failures of one address or account; times in seconds of the clock."""

    failures: list[float] = field(default_factory=list)
    until: float = float("-inf")
    times: int = 0
    pending: int = 0
    """Attempts under way."""


class Throttle:
    """Says when somebody has to wait."""

    def __init__(
        self,
        per_address: int = 60,
        per_account: int = 50,
        window: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_address = per_address
        self._per_account = per_account
        self._window = window
        self._clock = clock
        self._addresses: OrderedDict[str, _Count] = OrderedDict()
        self._accounts: OrderedDict[str, _Count] = OrderedDict()
        self._familiar: OrderedDict[tuple[str, str], float] = OrderedDict()

    @contextmanager
    def attempt(self, account: str, address: str) -> Iterator[None]:
        """Around a login; `Unauthenticated` out of it is a failure. Raises `Throttled` without trying.

        Attempts under way count as if they would fail: nobody gets more guesses by making them all at once.
        """
        place = _network(address)
        self.check(account, address)
        counts = [(self._addresses, place, self._per_address)]
        if not self._is_familiar(account, place):
            counts.append((self._accounts, account, self._per_account))
        held = [(self._held(table, key), limit) for table, key, limit in counts]
        if any(self._recent(count) + count.pending >= limit for count, limit in held):
            raise Throttled(1)
        for count, _ in held:
            count.pending += 1
        try:
            yield
        except Unauthenticated:
            self.failed(account, address)
            raise
        else:
            self.succeeded(account, address)
        finally:
            for count, _ in held:
                count.pending -= 1

    def check(self, account: str, address: str) -> None:
        """Raise `Throttled` if this address, or this account from this address, has to wait."""
        now, place = self._clock(), _network(address)
        waiting = [self._addresses.get(place)]
        if not self._is_familiar(account, place):
            waiting.append(self._accounts.get(account))
        until = max((count.until for count in waiting if count is not None), default=now)
        if until > now:
            raise Throttled(max(1, math.ceil(until - now)))

    def is_at_home(self, account: str, address: str) -> bool:
        """True if this address has logged in to the account within a day, and is not held back itself."""
        place = _network(address)
        held = self._addresses.get(place)
        return self._is_familiar(account, place) and (held is None or held.until <= self._clock())

    def failed(self, account: str, address: str) -> None:
        """A login failed."""
        self._count(self._addresses, _network(address), self._per_address)
        self._count(self._accounts, account, self._per_account)

    def succeeded(self, account: str, address: str) -> None:
        """A login succeeded. What the address did to other accounts is not forgotten for that."""
        key = (account, _network(address))
        _keep(self._familiar, key, self._clock() + _FAMILIAR_SECONDS)

    def _is_familiar(self, account: str, place: str) -> bool:
        return self._clock() < self._familiar.get((account, place), float("-inf"))

    def _recent(self, count: _Count) -> int:
        return sum(moment > self._clock() - self._window for moment in count.failures)

    @staticmethod
    def _held(counts: OrderedDict[str, _Count], key: str) -> _Count:
        count = counts.get(key) or _Count()
        _keep(counts, key, count)
        return count

    def _count(self, counts: OrderedDict[str, _Count], key: str, limit: int) -> None:
        now = self._clock()
        count = self._held(counts, key)
        if now - count.until > _LONGEST_SECONDS:
            count.times = 0
        count.failures = [*(moment for moment in count.failures if moment > now - self._window), now]
        if len(count.failures) >= limit:
            count.failures = []
            count.until = now + min(_LONGEST_SECONDS, self._window * 2**count.times)
            count.times += 1


def _keep(table: OrderedDict[K, V], key: K, value: V) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > _MOST:
        table.popitem(last=False)


@lru_cache(1024)
def _network(address: str) -> str:
    """Whoever has an IPv6 address has a /64 of them; but all of IPv4 lies in one, as ::ffff:192.0.2.1."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
