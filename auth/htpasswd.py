"""Users in an htpasswd file, as registry:2 reads it; read again when it changes.

Source: distribution, `registry/auth/htpasswd`: `name:bcrypt hash` a line, blank lines and lines that begin with `#` are
skipped, the last entry of a name counts.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from auth.errors import AccountInvalid
from auth.passwords import check_hash, cost_of

_LOOK_SECONDS = 1.0
_LARGEST = 16 * 1024 * 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Content:
    hashes: Mapping[str, str]
    unusable: Mapping[str, str]
    costs: Sequence[int]


class HtpasswdFile:
    """The users of the file at `path`, at most a second behind it.

    Raises `AccountInvalid` if the file cannot be read or nobody in it can log in. That is a mistake only at the start:
    a file that is emptied later ends its users.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._signature = self._look()
        self._content = self._read()
        if not self._content.hashes:
            reason = next(iter(self._content.unusable.values()), "no line is a user")
            raise AccountInvalid(f"{path} has no user who can log in; {reason}")
        self._looked = clock()

    def find(self, name: str) -> str | None:
        """The bcrypt hash of a user."""
        return self._current().hashes.get(name)

    def costs(self) -> Sequence[int]:
        """The cost of each hash."""
        return self._current().costs

    def unusable(self) -> Mapping[str, str]:
        """Users whose hash is no bcrypt, with the reason: they are refused."""
        return self._current().unusable

    def refresh(self) -> None:
        """Look at the file now; read it if it has changed."""
        self._looked = self._clock()
        signature = self._look()
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._content = self._read()
        except AccountInvalid as error:
            _log.error("the users in use are kept: %s", error)
        else:
            _log.info("%s was read again: %d users", self._path, len(self._content.hashes))

    def _current(self) -> _Content:
        if self._clock() - self._looked >= _LOOK_SECONDS:
            self.refresh()
        return self._content

    def _look(self) -> tuple[int, ...] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def _read(self) -> _Content:
        try:
            with self._path.open("rb") as file:
                data = file.read(_LARGEST + 1)
            text = data.decode()
        except OSError as error:
            raise AccountInvalid(f"{self._path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise AccountInvalid(f"{self._path} is not UTF-8 text") from error
        if len(data) > _LARGEST:
            raise AccountInvalid(f"{self._path} is larger than {_LARGEST} bytes")
        return self._parse(text)

    def _parse(self, text: str) -> _Content:
        hashes: dict[str, str] = {}
        unusable: dict[str, str] = {}
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            name, colon, stored = line.partition(":")
            if not colon or not name:
                raise AccountInvalid(f"{self._path}:{number}: a line is a name, a colon and a bcrypt hash")
            hashes.pop(name, None)
            unusable.pop(name, None)
            try:
                hashes[name] = check_hash(stored)
            except AccountInvalid as error:
                unusable[name] = f"line {number}: {error.message}"
                _log.warning("%s:%d: user %r cannot log in: %s", self._path, number, name, error.message)
        return _Content(hashes, unusable, tuple(cost_of(stored) for stored in hashes.values()))
