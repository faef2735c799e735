"""Users whose password hashes we hold: from the settings, the htpasswd file, and made by command, in this order.

The first source that has a name decides; the others are not asked, so that a weaker password elsewhere opens nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from auth.accounts import Accounts
from auth.htpasswd import HtpasswdFile
from auth.passwords import cost_of


@dataclass(frozen=True, slots=True)
class LocalUser:
    """A user; `password_hash` is bcrypt's."""

    name: str
    password_hash: str
    groups: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class LocalUsers:
    """All sources as one."""

    configured: Mapping[str, LocalUser]
    htpasswd: HtpasswdFile | None
    accounts: Accounts

    async def find(self, name: str) -> LocalUser | None:
        """The user of that name."""
        if (found := self.configured.get(name)) is not None:
            return found
        if self.htpasswd is not None:
            if (stored := self.htpasswd.find(name)) is not None:
                return LocalUser(name, stored)
            if name in self.htpasswd.unusable():
                return None
        user = (await self.accounts.state()).users.get(name)
        return None if user is None else LocalUser(name, user.password_hash, frozenset(user.groups))

    async def refresh(self) -> None:
        """See at once what has changed."""
        await self.accounts.state(fresh=True)
        if self.htpasswd is not None:
            self.htpasswd.refresh()

    async def costs(self) -> Sequence[int]:
        """What checking a password costs, for each user: see `Passwords.matches`."""
        hashes = [user.password_hash for user in self.configured.values()]
        hashes += [user.password_hash for user in (await self.accounts.state()).users.values()]
        listed = self.htpasswd.costs() if self.htpasswd is not None else ()
        return [*listed, *map(cost_of, hashes)]
