"""Password hashes: bcrypt, off the event loop, with a short memory of what was right.

The only module that knows bcrypt. Holds no user and no password: what is remembered is a keyed hash.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from auth.errors import AccountInvalid, Throttled

# a salt of 16 bytes leaves two bits for its 22nd character: bcrypt raises ValueError for any other
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_KINDS = (
    ("$apr1$", "MD5 (apr1)"),
    ("$1$", "MD5 crypt"),
    ("{SHA}", "SHA-1"),
    ("$5$", "SHA-256 crypt"),
    ("$6$", "SHA-512 crypt"),
    ("$argon2", "Argon2"),
    ("$2", "bcrypt with parameters that are not supported"),
)
_COSTS = range(4, 17)
_LONGEST = 72
"""So many bytes count for bcrypt. Apache's and Go's implementations cut there, and files were made with them."""
_USUAL_COST = 12
_REMEMBERED = 10_000
T = TypeVar("T")


def check_hash(text: str) -> str:
    """A bcrypt hash as it is. Raises `AccountInvalid`, which names the kind of hash that was found, never the hash."""
    found = _BCRYPT.fullmatch(text)
    if found is not None and int(found[1]) in _COSTS:
        return text
    kind = next((name for beginning, name in _KINDS if text.startswith(beginning)), "plain text or DES crypt")
    raise AccountInvalid(
        f"the password hash is {kind}; only bcrypt with a cost from {_COSTS[0]} to {_COSTS[-1]} is accepted: make it"
        " with `htpasswd -nB NAME` or `cargohold user passwd NAME`"
    )


def cost_of(stored: str) -> int:
    """The cost of a bcrypt hash: the work doubles with each step."""
    return int(stored[4:6])


def stamp_of(stored: str) -> str:
    """A fingerprint that changes with the hash and tells nothing of it."""
    return hashlib.sha256(b"stamp:" + stored.encode()).hexdigest()[:16]


class Passwords:
    """Checks and makes hashes in a few threads; remembers right passwords for `remember` seconds.

    At most `waiting` checks wait for a thread; whoever comes then is asked to come again. `shared` is a secret of all
    processes that answer for the same users; without it of this process alone.
    """

    def __init__(
        self,
        threads: int = 2,
        remember: float = 300.0,
        waiting: int = 64,
        clock: Callable[[], float] = time.monotonic,
        shared: Callable[[], Awaitable[bytes]] | None = None,
    ) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="bcrypt")
        self._remember = remember
        self._most_waiting = waiting
        self._waiting = 0
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._shared = shared
        self._right: OrderedDict[bytes, float] = OrderedDict()
        self._dummies: dict[int, str] = {}

    async def matches(self, name: str, password: str, stored: str | None, costs: Sequence[int]) -> bool:
        """True if the password is that of `stored`; for an unknown user (None) the same work comes to nothing.

        `costs` are those of all users of the source. An unknown name gets the same one of them in every process
        and always, so that neither a quick nor a slow answer says who exists. Raises `Throttled`.
        """
        if stored is not None and self.knows(name, password, stored):
            return True
        cost = await self._cost_for(name, costs)  # for a known one, too: whatever that asks, it asks of all
        against = stored or self._dummy(cost)
        right = await self._in_thread(_check, password, against) and stored is not None
        if right:
            self._keep(self._memory_key(name, password, against))
        return right

    def knows(self, name: str, password: str, stored: str) -> bool:
        """True if the password was found right for this hash a while ago."""
        if not self._right:
            return False
        key = self._memory_key(name, password, stored)
        return self._clock() < self._right.get(key, float("-inf"))

    async def hash(self, password: str, cost: int = _USUAL_COST) -> str:
        """A new hash. Raises `AccountInvalid` if the password cannot be one."""
        try:
            data = password.encode()
        except UnicodeEncodeError:
            # not chained: the error holds the password
            raise AccountInvalid("a password is text that UTF-8 can hold") from None
        if not data or len(data) > _LONGEST or b"\0" in data:
            raise AccountInvalid(f"a password has 1 to {_LONGEST} bytes, and none of them is zero")
        return await self._in_thread(lambda: bcrypt.hashpw(data, bcrypt.gensalt(cost)).decode())

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        if self._waiting >= self._most_waiting:
            raise Throttled(1)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1

    async def _cost_for(self, name: str, costs: Sequence[int]) -> int:
        key = self._key if self._shared is None else await self._shared()
        if not costs:
            return _USUAL_COST
        number = int.from_bytes(hmac.digest(key, name.encode("utf-8", "replace"), hashlib.sha256)[:8], "big")
        # not the remainder: one user more would give all unknown names another cost, and that would tell them apart
        return sorted(costs)[number * len(costs) >> 64]

    def _dummy(self, cost: int) -> str:
        if cost not in self._dummies:
            self._dummies[cost] = _unmatchable(cost)
        return self._dummies[cost]

    def _memory_key(self, name: str, password: str, stored: str) -> bytes:
        text = b"\0".join(part.encode("utf-8", "surrogatepass") for part in (name, stored, password))
        return hmac.digest(self._key, text, hashlib.sha256)

    def _keep(self, key: bytes) -> None:
        self._right[key] = self._clock() + self._remember
        self._right.move_to_end(key)
        if len(self._right) > _REMEMBERED:
            self._right.popitem(last=False)


def _check(password: str, stored: str) -> bool:
    data = password.encode("utf-8", "surrogatepass")
    # the work is done in any case; a zero byte would end the password for bcrypt
    return bcrypt.checkpw(data.replace(b"\0", b"\1")[:_LONGEST], stored.encode()) and b"\0" not in data


def _unmatchable(cost: int) -> str:
    """A hash of nothing that anybody knows, at once: only its form and cost matter."""
    alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    salt = bcrypt.gensalt(cost).decode()
    return salt + "".join(secrets.choice(alphabet) for _ in range(30)) + "."
