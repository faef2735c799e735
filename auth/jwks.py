"""Public keys of somebody else, as a JWK set: read off the event loop, kept, and read again when one is missing.

Knows where keys are and when to look again; must not know tokens. Whoever sends tokens with made-up key ids causes at
most one fetch in ten seconds, and an issuer that is down for a while holds nobody up as long as its keys are known.
"""

import asyncio
import http.client
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from auth.errors import IdentityUnavailable
from auth.jwks_source import KeySource, VerificationKey, read_keys

_AGAIN_SECONDS = 10.0
_USABLE_SECONDS = 86_400.0
_TIMEOUT_SECONDS = 5.0
_REQUESTS = 2  # the discovery document and the keys
_log = logging.getLogger(__name__)

__all__ = ["JwksCache", "KeySource", "VerificationKey"]


class JwksCache:
    """The keys of one source. What came from a URL is fetched again after `fresh` seconds; a file when it changes.

    A request that takes longer than `timeout` seconds has failed.
    """

    def __init__(
        self,
        source: KeySource,
        fresh: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        timeout: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._source = source
        self._fresh = fresh
        self._clock = clock
        self._timeout = timeout
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jwks")
        self._keys: tuple[VerificationKey, ...] = ()
        self._version: tuple[int, ...] | None = None  # of the file that the keys are from
        self._current = float("-inf")  # when the keys were last known to be those of the source
        self._tried = float("-inf")
        self._tried_version: tuple[int, ...] | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._failing = False  # then nobody waits whose key is known

    async def find(self, key_id: str | None, algorithm: str) -> VerificationKey | None:
        """The key to verify a signature with; without an id only if there is exactly one that fits.

        Raises `IdentityUnavailable` if no keys can be had.
        """
        found = self._find(key_id, algorithm)
        if found is None or not self._is_current():
            fetching = self._refresh()
            if fetching is not None and not (self._failing and found is not None and self._are_usable()):
                await asyncio.shield(fetching)
                found = self._find(key_id, algorithm)
        if not self._are_usable():
            raise IdentityUnavailable("the keys of the token's issuer cannot be had now; try again later")
        return found

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _find(self, key_id: str | None, algorithm: str) -> VerificationKey | None:
        fitting = [key for key in self._keys if key.fits(algorithm) and key_id in (None, key.id)]
        return fitting[0] if len(fitting) == 1 else None

    def _are_usable(self) -> bool:
        return bool(self._keys) and self._clock() - self._current <= _USABLE_SECONDS

    def _is_current(self) -> bool:
        """True if the source need not be asked: it was a moment ago, or is a file that has not changed."""
        if self._source.file:
            if self._keys and _version(self._source) == self._version:
                self._current = self._clock()
                return True
            return False
        return self._clock() - self._current <= self._fresh

    def _refresh(self) -> asyncio.Task[None] | None:
        """Begin to read the keys unless that was tried a moment ago; whoever comes meanwhile gets the same reading."""
        if self._fetching is None:
            version = _version(self._source)
            if self._clock() - self._tried < _AGAIN_SECONDS and version == self._tried_version:
                return None
            self._tried, self._tried_version = self._clock(), version
            self._fetching = asyncio.create_task(self._fetch(version))
        return self._fetching

    async def _fetch(self, version: tuple[int, ...] | None) -> None:
        """Read the keys. `version` was taken before: a file that changes meanwhile is read once more."""
        try:
            async with asyncio.timeout(self._timeout * _REQUESTS + 1):  # names are looked up without a limit of ours
                reading = asyncio.get_running_loop().run_in_executor(
                    self._thread, read_keys, self._source, self._timeout
                )
                keys = await reading
        except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
            self._failing = not self._source.file  # which takes no time to read
            _log.error("the keys of %s cannot be had: %s", self._source, error or type(error).__name__)
        else:
            self._keys, self._version, self._current = keys, version, self._clock()
            self._failing = False
        finally:
            self._fetching = None


def _version(source: KeySource) -> tuple[int, ...] | None:
    """Changes when the file does; None while it is not there, and for a URL."""
    if not source.file:
        return None
    try:
        status = Path(source.file).stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
