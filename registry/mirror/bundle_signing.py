"""Signatures of bundles: Ed25519 over `cargohold-bundle.json`, keys in PEM files. The mirror's door to `cryptography`.

`openssl` makes and checks the same: `openssl genpkey -algorithm ed25519`, `openssl pkeyutl -verify -rawin`.
"""

from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class KeyInvalid(Exception):
    """The file holds no key that bundles are signed with."""


def new_key() -> tuple[bytes, bytes]:
    """A new private key and its public key, in PEM."""
    key = Ed25519PrivateKey.generate()
    return (
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    )


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """The key that signs. Raises `KeyInvalid`."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise KeyInvalid(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyInvalid(f"{path} holds no private key in PEM without a password: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyInvalid(f"{path} holds a key of another kind; make one with `cargohold bundle keygen`")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """The key that checks; that of the private key, if the file holds one. Raises `KeyInvalid`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KeyInvalid(f"{path} cannot be read: {error.strerror}") from error
    if b"PRIVATE KEY" in data:
        return read_private_key(path).public_key()
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyInvalid(f"{path} holds no public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyInvalid(f"{path} holds a key of another kind than bundles are signed with: Ed25519")
    return key


def is_signed_by(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    """True if the owner of the key has signed these bytes."""
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
