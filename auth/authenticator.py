"""A name and a password become an identity; and whether an identity still stands.

The one place that knows all kinds of credentials. What is refused is refused in the same words and, as far as we can,
after the same work, whether the account exists or not.
"""

import asyncio
import hashlib
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace

from auth.accounts import AccessToken, Accounts
from auth.directory import Directory
from auth.errors import Unauthenticated
from auth.identity import Credential, Identity, Kind
from auth.issuers import Issuers
from auth.passwords import Passwords, stamp_of
from auth.secrets import PREFIX, Secret, Use
from auth.throttle import Throttle
from auth.token_uses import TokenUses
from auth.users import LocalUsers

_LONGEST_NAME = 255
_LONGEST_PASSWORD = 16 * 1024
_REFUSED = "the user name or password is wrong"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where identities come from; None for what is not configured."""

    users: LocalUsers
    accounts: Accounts
    directory: Directory | None = None
    issuers: Issuers | None = None

    async def know(self, name: str) -> bool:
        """True if there is a user of exactly this name. Raises `IdentityUnavailable`."""
        if await self.users.find(name) is not None:
            return True
        return self.directory is not None and await self.directory.find(name) is not None

    def close(self) -> None:
        """Let go of what the sources hold."""
        if self.directory is not None:
            self.directory.close()
        if self.issuers is not None:
            self.issuers.close()


class Authenticator:
    """Checks credentials."""

    def __init__(
        self,
        sources: Sources,
        passwords: Passwords,
        throttle: Throttle,
        uses: TokenUses,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sources = sources
        self._passwords = passwords
        self._throttle = throttle
        self._uses = uses
        # a client opens many connections at once: the same login is checked, and counted, once
        self._running: dict[tuple[str, str, str], asyncio.Future[Identity]] = {}
        self._clock = clock

    async def login(self, name: str, password: str, address: str) -> Identity:
        """Who has this name and password, access token, or identity token of a trusted issuer.

        Raises `Unauthenticated`, `Throttled`, `IdentityUnavailable`.
        """
        if len(name) > _LONGEST_NAME or len(password) > _LONGEST_PASSWORD:
            raise Unauthenticated(_REFUSED)
        account = self._account(name, password)
        # in this order: who has to wait learns nothing of a guess, not even by the time
        if self._throttle.is_at_home(account, address) and await self._is_remembered(name, password):
            return await self._by_password(name, password)
        key = (name, password, address)
        running = self._running.get(key)
        if running is None:
            running = asyncio.ensure_future(self._try(account, name, password, address))
            self._running[key] = running
            running.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(running)

    def _ended(self, key: tuple[str, str, str], done: "asyncio.Future[Identity]") -> None:
        del self._running[key]
        if not done.cancelled():
            done.exception()  # seen, also where whoever waited for it has gone away

    async def _try(self, account: str, name: str, password: str, address: str) -> Identity:
        with self._throttle.attempt(account, address):
            await self.refresh()  # an account may have been made, or ended, a moment ago
            return await self._identify(name, password)

    async def refresh(self) -> None:
        """Look at the accounts now, and not only when they were last looked at a second ago."""
        await self._sources.users.refresh()

    async def confirm(self, identity: Identity, *, thoroughly: bool = False) -> Identity | None:
        """The identity as it is now, with its groups of now; None if its credential does not stand any more.

        A directory is asked only `thoroughly`. Raises `IdentityUnavailable`.
        """
        found = await self._confirm(identity, thoroughly)
        if found is None and identity.credential.kind in ("password", "token"):
            # another process may have logged in an account that we have not seen yet
            await self.refresh()
            found = await self._confirm(identity, thoroughly)
        return found

    async def _confirm(self, identity: Identity, thoroughly: bool) -> Identity | None:
        match identity.credential.kind:
            case "password":
                return await self._of_password(identity)
            case "token":
                token = (await self._sources.accounts.state()).tokens.get(identity.credential.id)
                return None if token is None else await self._of_token(token)
            case "ldap":
                return await self._of_directory(identity) if thoroughly else identity
            case "issuer":
                issuers = self._sources.issuers
                return identity if issuers is not None and identity.credential.id in issuers.names() else None
            case _:
                return identity if identity.kind is Kind.ANONYMOUS else None

    def can_last(self, identity: Identity) -> bool:
        """True if a login of this identity may outlive its bearer token: whether it stands can be asked later."""
        match identity.credential.kind:
            case "password" | "token":
                return True
            case "ldap":
                return self._sources.directory is not None and self._sources.directory.can_find
            case _:
                return False

    async def note_use(self, identity: Identity) -> None:
        """Somebody has come back by what was made from this identity's credential."""
        if identity.credential.kind == "token":
            await self._uses.note(identity.credential.id)

    async def _is_remembered(self, name: str, password: str) -> bool:
        """True if this was right a moment ago: it costs nothing then."""
        user = await self._sources.users.find(name)
        if user is not None:
            return self._passwords.knows(name, password, user.password_hash)
        return self._sources.directory is not None and self._sources.directory.remembers(name, password)

    async def _identify(self, name: str, password: str) -> Identity:
        if password.startswith(PREFIX):
            return await self._by_token(name, password)
        if self._sources.issuers is not None and self._sources.issuers.knows(password):
            return await self._sources.issuers.identify(password)
        return await self._by_password(name, password)

    async def _by_password(self, name: str, password: str) -> Identity:
        users, directory = self._sources.users, self._sources.directory
        user = await users.find(name)
        costs = await users.costs()
        # for who is not ours the same work, unless nobody is, or the directory has said yes a moment ago
        if user is not None or directory is None or (costs and not directory.remembers(name, password)):
            stored = None if user is None else user.password_hash
            right = await self._passwords.matches(name, password, stored, costs)
            if user is not None and right:
                credential = Credential("password", stamp=stamp_of(user.password_hash))
                return Identity(Kind.USER, user.name, user.groups, credential=credential)
        if user is None and directory is not None:
            found = await directory.check(name, password)
            # a name that is ours too is nobody else's: the directory may spell it in another way than it was typed
            if found is not None and await users.find(found.name) is None:
                return Identity(Kind.USER, found.name, found.groups, credential=Credential("ldap"))
        raise Unauthenticated(_REFUSED)

    async def _by_token(self, name: str, password: str) -> Identity:
        secret = Secret.parse(password)
        token = (await self._sources.accounts.state()).tokens.get(secret.id) if secret else None
        if secret is None or token is None or secret.use is Use.REFRESH or not secret.is_kept_as(token.secret_hash):
            raise Unauthenticated(_REFUSED)
        identity = await self._of_token(token)
        if identity is None or name != identity.name:
            raise Unauthenticated(_REFUSED)
        await self._uses.note(token.id)
        return identity

    async def _of_token(self, token: AccessToken) -> Identity | None:
        if token.has_expired(self._clock()):
            return None
        credential = Credential("token", token.id)
        if not token.owner:
            return Identity(Kind.ROBOT, token.name, scope=token.scope or (), credential=credential)
        user = await self._sources.users.find(token.owner)
        if user is not None:
            return Identity(Kind.USER, token.owner, user.groups, token.scope, credential)
        found = await self._sources.directory.find(token.owner) if self._sources.directory is not None else None
        return None if found is None else Identity(Kind.USER, found.name, found.groups, token.scope, credential)

    async def _of_password(self, identity: Identity) -> Identity | None:
        user = await self._sources.users.find(identity.name)
        if user is None or stamp_of(user.password_hash) != identity.credential.stamp:
            return None
        return identity if user.groups == identity.groups else replace(identity, groups=user.groups)

    async def _of_directory(self, identity: Identity) -> Identity | None:
        directory = self._sources.directory
        found = None if directory is None else await directory.find(identity.name)
        return None if found is None else replace(identity, groups=found.groups)

    def _account(self, name: str, password: str) -> str:
        """What failures are counted on. A token cannot be guessed, so that failing ones never lock a person out."""
        if password.startswith(PREFIX) or (self._sources.issuers is not None and self._sources.issuers.knows(password)):
            return f"token:{hashlib.sha256(password.encode('utf-8', 'replace')).hexdigest()}"
        # a directory takes many spellings for one account
        return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
