"""The keys that sign bearer tokens: made at first start, rotated with an overlap, published as a JWK set.

All processes share them through one document in storage. A new key is published for a while before it signs, and an
old one verifies for as long as what it has signed is valid: nobody ever meets a token whose key it cannot know.
"""

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from auth.document import Document
from auth.errors import AccountInvalid
from storage_backends.base import StorageBackend

ALGORITHM = "ES256"
KEPT_SECONDS = 60
"""For so long the public keys may be kept on the way to whoever asks for them."""
_PUBLISHED_SECONDS = KEPT_SECONDS + 15.0
"""A process has looked at the document by then, and who has asked in vain asks again after ten seconds."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair; signs from `signs_from` on, verifies until `ends` (0: no end is set); seconds since the epoch."""

    id: str
    private_pem: str
    created: float
    signs_from: float
    ends: float = 0.0

    def verifies(self, now: float) -> bool:
        """True until it ends."""
        return self.ends == 0 or now < self.ends

    def __repr__(self) -> str:
        """Without the secret."""
        return f"SigningKey({self.id})"


Keys = tuple[SigningKey, ...]


class SigningKeys:
    """The document of keys, at `<prefix>keys`."""

    def __init__(self, backend: StorageBackend, prefix: str, clock: Callable[[], float] = time.time) -> None:
        self._document: Document[Keys] = Document(backend, f"{prefix}keys", _decode, _encode)
        self._clock = clock
        self._loaded: dict[str, ec.EllipticCurvePrivateKey] = {}

    async def all(self) -> Keys:
        """Every key that still verifies, the oldest first. The first call ever makes one."""
        found = await self.known()
        if not found:
            first = _new_key(self._clock(), 0.0)
            await self._document.change(lambda keys: keys or (first,))
            found = await self.known()
        return found

    async def known(self) -> Keys:
        """As `all`, and makes none."""
        now = self._clock()
        return tuple(key for key in await self._document.read() if key.verifies(now))

    async def signer(self) -> tuple[str, ec.EllipticCurvePrivateKey]:
        """The key to sign with, by its id: the newest whose time has come."""
        now = self._clock()
        keys = await self.all()
        ready = [key for key in keys if key.signs_from <= now] or list(keys)
        chosen = max(ready, key=lambda key: key.signs_from)
        return chosen.id, self._private(chosen)

    async def verifier(self, key_id: str) -> ec.EllipticCurvePublicKey | None:
        """The public key of that id; None if there is none or its time is over."""
        for key in await self.all():
            if key.id == key_id:
                return self._private(key).public_key()
        return None

    async def rotate(self, keep: float, *, at_once: bool = False) -> SigningKey:
        """Add a key, and let the others end `keep` seconds after it begins to sign; or now, if they are not safe.

        Raises `AccountInvalid` if there are none: this is not where those that shall end are.
        """
        now = self._clock()
        new = _new_key(now, 0.0 if at_once else _PUBLISHED_SECONDS)

        def change(keys: Keys) -> Keys:
            if not keys:
                raise AccountInvalid(
                    "there are no keys in this storage: name that of the token service with --root or --config; it"
                    " makes the first one itself"
                )
            if at_once:
                return (new,)
            ends = new.signs_from + keep
            kept = tuple(replace(key, ends=key.ends or ends) for key in keys if key.verifies(now))
            return (*kept, new)

        await self._document.change(change)
        return new

    async def jwks(self) -> Mapping[str, Any]:
        """The public keys as a JWK set (RFC 7517)."""
        return {"keys": [_jwk(self._private(key), key.id) for key in await self.all()]}

    def _private(self, key: SigningKey) -> ec.EllipticCurvePrivateKey:
        loaded = self._loaded.get(key.id)
        if loaded is None:
            found = serialization.load_pem_private_key(key.private_pem.encode(), None)
            if not isinstance(found, ec.EllipticCurvePrivateKey):
                raise TypeError(f"signing key {key.id} is not an elliptic curve key")
            loaded = self._loaded[key.id] = found
        return loaded


def _new_key(now: float, delay: float) -> SigningKey:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return SigningKey(_thumbprint(key), pem.decode(), now, now + delay)


def _jwk(key: ec.EllipticCurvePrivateKey, key_id: str) -> Mapping[str, str]:
    return {**_point(key), "kid": key_id, "use": "sig", "alg": ALGORITHM}


def _point(key: ec.EllipticCurvePrivateKey) -> Mapping[str, str]:
    numbers = key.public_key().public_numbers()
    return {"crv": "P-256", "kty": "EC", "x": _base64(numbers.x), "y": _base64(numbers.y)}


def _thumbprint(key: ec.EllipticCurvePrivateKey) -> str:
    """RFC 7638: the same key has the same id everywhere."""
    text = json.dumps(_point(key), separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _base64(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


def _decode(data: Any) -> Keys:
    return () if data is None else tuple(SigningKey(**item) for item in data["keys"])


def _encode(keys: Keys) -> Any:
    return {"keys": [{name: getattr(key, name) for name in SigningKey.__slots__} for key in keys]}
