"""The public keys of another token service of ours, from its JWK set."""

from cryptography.hazmat.primitives.asymmetric import ec

from auth.jwks import JwksCache
from auth.keys import ALGORITHM


class RemoteKeys:
    """Keys by their ids."""

    def __init__(self, keys: JwksCache) -> None:
        self._keys = keys

    async def verifier(self, key_id: str) -> ec.EllipticCurvePublicKey | None:
        """The public key of that id; None if there is none. Raises `IdentityUnavailable`."""
        found = await self._keys.find(key_id, ALGORITHM)
        key = None if found is None else found.key
        return key if isinstance(key, ec.EllipticCurvePublicKey) else None
