"""Public keys of somebody else, as a JWK set: fetched off the event loop, kept, and fetched again when one is missing.

Source: RFC 7517; OpenID Connect Discovery 1.0, section 4. Whoever sends tokens with made-up key ids causes at most one
fetch in ten seconds, and an issuer that is down for a while costs nothing as long as its keys are known.
"""

import asyncio
import ipaddress
import json
import logging
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt

from auth.errors import IdentityUnavailable

_AGAIN_SECONDS = 10.0
_USABLE_SECONDS = 86_400.0
_TIMEOUT_SECONDS = 5.0
_LARGEST = 1024 * 1024
_MOST_KEYS = 200
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where keys are: at `url`, in `file`, or where the discovery document of `issuer` says.

    `ca_file` holds the authorities to trust, `token_file` a bearer token to show; empty for none.
    """

    issuer: str = ""
    url: str = ""
    file: str = ""
    ca_file: str = ""
    token_file: str = ""


class JwksCache:
    """The keys of one source, fetched again after `fresh` seconds."""

    def __init__(self, source: KeySource, fresh: float = 600.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._fresh = fresh
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jwks")
        self._keys: tuple[jwt.PyJWK, ...] = ()
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key to verify a signature with; without an id only if there is exactly one that fits.

        Raises `IdentityUnavailable` if no keys can be had.
        """
        found = self._find(key_id, algorithm)
        if found is None or self._clock() - self._fetched > self._fresh:
            await self._refresh()
            found = self._find(key_id, algorithm)
        if not self._keys or self._clock() - self._fetched > _USABLE_SECONDS:
            raise IdentityUnavailable(f"the keys of {self._source.issuer or self._source.url} cannot be had")
        return found

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        fitting = [key for key in self._keys if _fits(key, algorithm)]
        if key_id is not None:
            fitting = [key for key in fitting if key.key_id == key_id]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self) -> None:
        """Fetch the keys unless that was tried a moment ago; whoever comes meanwhile waits for the same fetch."""
        if self._fetching is None:
            if self._clock() - self._tried < _AGAIN_SECONDS:
                return
            self._tried = self._clock()
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        try:
            keys = await asyncio.get_running_loop().run_in_executor(self._thread, _load, self._source)
        except (OSError, ValueError, jwt.PyJWTError) as error:
            _log.error("the keys of %s cannot be had: %s", self._source.issuer or self._source.url, error)
        else:
            self._keys, self._fetched = keys, self._clock()
        finally:
            self._fetching = None


def _fits(key: jwt.PyJWK, algorithm: str) -> bool:
    """Asymmetric, for signatures, and of the algorithm's kind; what the key says of itself counts."""
    data: Mapping[str, Any] = key._jwk_data  # PyJWK keeps `use` and `alg` nowhere else
    if data.get("use", "sig") != "sig" or data.get("kty") != _KEY_TYPES.get(algorithm[:2]):
        return False
    return bool(data.get("alg", algorithm) == algorithm)


def _load(source: KeySource) -> tuple[jwt.PyJWK, ...]:
    text = Path(source.file).read_bytes() if source.file else _get(source.url or _discover(source), source)
    found = json.loads(text)
    entries = found.get("keys") if isinstance(found, dict) else None
    keys = []
    for entry in entries[:_MOST_KEYS] if isinstance(entries, list) else ():
        try:
            keys.append(jwt.PyJWK(entry))
        except (jwt.PyJWTError, TypeError, ValueError, AttributeError) as error:
            _log.debug("a key of %s is not used: %s", source.issuer, error)  # of a kind that we do not know
    if not keys:
        raise ValueError("this is no JWK set with a key that can be used")
    return tuple(keys)


def _discover(source: KeySource) -> str:
    document = json.loads(_get(source.issuer.rstrip("/") + "/.well-known/openid-configuration", source))
    if not isinstance(document, dict) or document.get("issuer") != source.issuer:
        raise ValueError("the discovery document is another issuer's")
    return str(document.get("jwks_uri"))


def _get(url: str, source: KeySource) -> bytes:
    _check_url(url)
    request = urllib.request.Request(url, headers={"accept": "application/json"})  # noqa: S310  # checked above
    if source.token_file:
        request.add_header("authorization", "Bearer " + Path(source.token_file).read_text("utf-8").strip())
    context = ssl.create_default_context(cafile=source.ca_file or None)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirects())
    with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
        data: bytes = answer.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"{url} is larger than {_LARGEST} bytes")
    return data


def _check_url(url: str) -> None:
    """Keys come encrypted, or from this machine. Raises `ValueError`."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    host = parts.hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if parts.scheme != "http" or not local:
        raise ValueError(f"{url} is not https")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys are where the settings say."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none; urllib raises `HTTPError` then."""
