"""Secrets that we hand out: made, recognised, and kept as a hash. Pure.

`cargohold_<use>_<id>_<secret><checksum>`: the fixed beginning and the checksum let secret scanners find one with
certainty (pattern: `cargohold_(pat|robot|refresh)_[a-z0-9]{12}_[A-Za-z0-9]{46}`), and let us refuse a mistyped one
without looking it up. The secret has 238 bits, so one round of SHA-256 is what a password would need bcrypt for.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_ALPHABET = string.digits + string.ascii_lowercase
_FORM = re.compile(r"cargohold_(pat|robot|refresh)_([a-z0-9]{12})_([A-Za-z0-9]{40})([A-Za-z0-9]{6})")
PREFIX = "cargohold_"


class Use(StrEnum):
    """What a secret is for."""

    PERSONAL = "pat"
    ROBOT = "robot"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret with the id under which it is kept. Its text is shown once."""

    use: Use
    id: str
    text: str

    @classmethod
    def new(cls, use: Use) -> Self:
        """A new secret."""
        number = "".join(secrets.choice(_ID_ALPHABET) for _ in range(12))
        body = f"{PREFIX}{use}_{number}_" + "".join(secrets.choice(_ALPHABET) for _ in range(40))
        return cls(use, number, body + _checksum(body))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Recognise a secret of ours; None if it is none, or was mistyped."""
        found = _FORM.fullmatch(text)
        if found is None or not hmac.compare_digest(_checksum(text[:-6]), found[4]):
            return None
        return cls(Use(found[1]), found[2], text)

    @property
    def hash(self) -> str:
        """What is kept of it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def is_kept_as(self, stored_hash: str) -> bool:
        """True if `stored_hash` is this secret's, in constant time."""
        return hmac.compare_digest(self.hash, stored_hash)

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Secret({self.use}, {self.id})"


def without_secrets(name: str) -> str:
    """A name as it may be written down: people paste tokens where the name belongs."""
    return "***" if PREFIX in name or (name.count(".") == 2 and name.startswith("eyJ")) else name


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
