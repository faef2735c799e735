"""Users of an LDAP directory, with a short memory, so that a client that sends its password each time is bearable.

What is remembered is a keyed hash of name and password, never a password, and for so short a time that a locked account
is out within it.
"""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from auth.ldap_directory import LdapDirectory, LdapUser

_REMEMBERED = 10_000


class Directory:
    """A directory's answers, each for at most `remember` seconds."""

    def __init__(
        self, directory: LdapDirectory, remember: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._directory = directory
        self._remember = remember
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, tuple[float, LdapUser | None]] = OrderedDict()

    @property
    def can_find(self) -> bool:
        """True if users can be looked up without their passwords."""
        return self._directory.can_find

    async def check(self, name: str, password: str) -> LdapUser | None:
        """The user, if the password is right. Raises `IdentityUnavailable`."""
        key = self._name(b"check", name, password)
        found = self._recall(key)
        if found is None:
            found = await self._directory.check(name, password)
            if found is not None:
                self._keep(key, found)
        return found

    def remembers(self, name: str, password: str) -> bool:
        """True if the password was right a moment ago."""
        return self._recall(self._name(b"check", name, password)) is not None

    async def find(self, name: str) -> LdapUser | None:
        """The user of exactly this name with the groups of now. Raises `IdentityUnavailable`.

        Whom the directory finds by it under another name may be somebody else, such as who has it as an alias by now.
        """
        key = self._name(b"find", name, "")
        found = self._recall(key)
        if found is None:
            found = await self._directory.find(name)
            if found is not None:
                self._keep(key, found)
        return found if found is not None and found.name == name else None

    def close(self) -> None:
        """Let go of the directory."""
        self._directory.close()

    def _name(self, purpose: bytes, name: str, password: str) -> bytes:
        text = b"\0".join((purpose, name.encode("utf-8", "replace"), password.encode("utf-8", "replace")))
        return hmac.digest(self._key, text, hashlib.sha256)

    def _recall(self, key: bytes) -> LdapUser | None:
        until, found = self._known.get(key, (0.0, None))
        return found if self._clock() < until else None

    def _keep(self, key: bytes, user: LdapUser) -> None:
        self._known[key] = (self._clock() + self._remember, user)
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
