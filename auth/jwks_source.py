"""Reads a JWK set from where it is: a file, a URL, or where the issuer's discovery document says.

Source: RFC 7517; OpenID Connect Discovery 1.0, section 4. Blocks; for a thread. Trusts the settings, and nothing that
comes over the network more than it has to: https or this machine, no redirects, limits on size and time.
"""

import ipaddress
import json
import logging
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

_LARGEST = 1024 * 1024
_MOST_KEYS = 200
_SMALLEST_RSA = 2048
_BLOCK = 65536
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}
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

    def __str__(self) -> str:
        """How the log names it."""
        return self.issuer or self.url or self.file


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key for signatures. `algorithm` is the one that it is for, or empty; `curve` is empty for RSA."""

    id: str | None
    kind: str
    curve: str
    algorithm: str
    key: Any

    def fits(self, algorithm: str) -> bool:
        """True if signatures of this algorithm can be verified with the key, and it is not kept for another one."""
        return (
            self.kind == _KEY_TYPES.get(algorithm[:2])
            and self.curve == _CURVES.get(algorithm, "")
            and self.algorithm in ("", algorithm)
        )


def read_keys(source: KeySource, timeout: float) -> tuple[VerificationKey, ...]:
    """The keys that can be used; each request has `timeout` seconds. Keys of which we know nothing are left out.

    Raises `OSError`, `ValueError`, `RecursionError`, `http.client.HTTPException`.
    """
    text = (
        Path(source.file).read_bytes()
        if source.file
        else _get(source.url or _discover(source, timeout), source, timeout)
    )
    found = json.loads(text)
    entries = found.get("keys") if isinstance(found, dict) else None
    keys = []
    for number, entry in enumerate(entries[:_MOST_KEYS] if isinstance(entries, list) else ()):
        try:
            keys.append(_key(entry))
        except (jwt.PyJWTError, TypeError, ValueError, AttributeError, KeyError) as error:
            # the error may hold the key, which may be a secret one
            _log.debug("key %d of %s is not used: %s", number, source, type(error).__name__)
    if not keys:
        raise ValueError("this is no JWK set with a public key for signatures")
    return tuple(keys)


def _key(entry: Any) -> VerificationKey:
    """A key for signatures. Raises for what is none: a symmetric, secret, weak or encryption key."""
    kind = entry["kty"]
    if kind not in _KEY_TYPES.values() or "d" in entry:
        raise ValueError("a symmetric or secret key")
    if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
        raise ValueError("not for signatures")
    key_id = entry.get("kid")
    if not isinstance(key_id, str | None):
        raise TypeError("its id is no text")
    key = jwt.PyJWK(entry).key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _SMALLEST_RSA:
        raise ValueError("too short to be safe")
    return VerificationKey(key_id, kind, "" if kind == "RSA" else entry["crv"], entry.get("alg", ""), key)


def _discover(source: KeySource, timeout: float) -> str:
    """Where the issuer says that its keys are."""
    address = source.issuer.rstrip("/") + "/.well-known/openid-configuration"
    document = json.loads(_get(address, source, timeout))
    if not isinstance(document, dict) or document.get("issuer") != source.issuer:
        raise ValueError("the discovery document is another issuer's")
    url = document.get("jwks_uri")
    if not isinstance(url, str):
        raise ValueError("the discovery document names no jwks_uri")  # noqa: TRY004  # of the document, not of us
    if address.startswith("https:") and not url.startswith("https:"):
        raise ValueError(f"{url} is not https, as the discovery document is")
    return url


def _get(url: str, source: KeySource, timeout: float) -> bytes:
    _check_url(url)
    deadline = time.monotonic() + timeout
    request = urllib.request.Request(url, headers={"accept": "application/json", "user-agent": "cargohold"})  # noqa: S310  # checked above
    if source.token_file:
        request.add_header("authorization", f"Bearer {_token(source.token_file)}")
    try:
        with _opener(url, source).open(request, timeout=timeout) as answer:
            return _read(answer, deadline)
    except urllib.error.HTTPError as error:
        with error:
            raise OSError(f"{url} answers {error.code}") from error


def _opener(url: str, source: KeySource) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
    if urlsplit(url).scheme == "https":
        context = ssl.create_default_context(cafile=source.ca_file or None)
        handlers.append(urllib.request.HTTPSHandler(context=context))
    else:  # what is not encrypted stays on this machine: no proxy of the environment may see or change it
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def _read(answer: Any, deadline: float) -> bytes:
    """The whole answer; the limit is on all of it, for one byte a second would satisfy a limit on each block."""
    data = bytearray()
    while block := answer.read1(_BLOCK):
        data += block
        if len(data) > _LARGEST:
            raise ValueError(f"it is larger than {_LARGEST} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError("it comes too slowly")
    return bytes(data)


def _token(file: str) -> str:
    words = Path(file).read_text("ascii").split()
    if len(words) != 1:  # http.client would put what it refuses into the error, and so into the log
        raise ValueError(f"{file} does not hold one token")
    return words[0]


def _check_url(url: str) -> None:
    """Keys come encrypted, or from this machine. Raises `ValueError`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return
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
