"""Users and access tokens that were made by command, and what was revoked: one document in storage.

Small and read whole, so that any process sees a revocation within a second. Knows hashes, never a secret.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from auth.access import Grant
from auth.document import Document
from auth.errors import AccountInvalid
from auth.secrets import Secret, Use
from storage_backends.base import StorageBackend

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user; `created` in seconds since the epoch."""

    name: str
    password_hash: str
    groups: tuple[str, ...] = ()
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A personal token of the user `owner`, or a robot's; times in seconds since the epoch, `expires` 0 for never."""

    id: str
    use: Use
    name: str
    owner: str
    secret_hash: str
    scope: tuple[Grant, ...] | None
    created: float
    expires: float

    def has_expired(self, now: float) -> bool:
        """True from `expires` on."""
        return 0 < self.expires <= now


@dataclass(frozen=True, slots=True)
class AccountsState:
    """All accounts at one moment; `revoked` maps ids of logins that were ended to when they can be forgotten."""

    users: Mapping[str, StoredUser] = field(default_factory=dict)
    tokens: Mapping[str, AccessToken] = field(default_factory=dict)
    revoked: Mapping[str, float] = field(default_factory=dict)

    def token(self, name_or_id: str, owner: str | None = None) -> AccessToken:
        """The token of that id, else the one of that name, of that owner where one is given.

        Raises `AccountInvalid` if there is none, or several: nobody ends the token of somebody else by mistake.
        """
        by_id = self.tokens.get(name_or_id)
        named = [token for token in self.tokens.values() if token.name == name_or_id] if by_id is None else [by_id]
        found = [token for token in named if owner in (None, token.owner)]
        if not found:
            of = f" of {owner}" if owner else ""
            raise AccountInvalid(
                f"there is no token or login {name_or_id}{of}; see `cargohold token list`, also with --logins"
            )
        if len(found) > 1:
            each = ", ".join(f"{token.id} ({f'of {token.owner}' if token.owner else 'a robot'})" for token in found)
            raise AccountInvalid(
                f"there are {len(found)} tokens {name_or_id}: {each}; name one by its id, or its user with --user"
            )
        return found[0]


class Accounts:
    """The document of accounts, at `<prefix>accounts`."""

    def __init__(self, backend: StorageBackend, prefix: str, clock: Callable[[], float] = time.time) -> None:
        self._document = Document(backend, f"{prefix}accounts", _decode, _encode)
        self._clock = clock

    async def state(self, *, fresh: bool = False) -> AccountsState:
        """All accounts, at most a second old; as they are now if `fresh`."""
        return await self._document.read(fresh=fresh)

    async def add_user(self, name: str, password_hash: str, groups: tuple[str, ...]) -> None:
        """Make a user. Raises `AccountInvalid` if the name is taken or cannot be one."""
        check_name(name)
        user = StoredUser(name, password_hash, groups, self._clock())

        def change(state: AccountsState) -> AccountsState:
            if name in state.users:
                raise AccountInvalid(f"there is a user {name} already; `cargohold user passwd {name}` changes it")
            return replace(state, users={**state.users, name: user})

        await self._document.change(change)

    async def set_password(self, name: str, password_hash: str) -> str:
        """Change a password; what was logged in with the old one ends. Return its hash. Raises `AccountInvalid`."""
        old = ""

        def change(state: AccountsState) -> AccountsState:
            nonlocal old
            if (user := state.users.get(name)) is None:
                raise AccountInvalid(f"there is no user {name} in this storage; `cargohold user list` shows all")
            old = user.password_hash
            return replace(state, users={**state.users, name: replace(user, password_hash=password_hash)})

        await self._document.change(change)
        return old

    async def remove_user(self, name: str) -> list[AccessToken]:
        """Remove a user and the tokens that are the user's own; return these.

        The user may be one of another source, who only has tokens here: whoever gets the name next gets no old ones.
        """
        removed: list[AccessToken] = []

        def change(state: AccountsState) -> AccountsState:
            removed[:] = [token for token in state.tokens.values() if token.owner == name]
            users = {key: user for key, user in state.users.items() if key != name}
            tokens = {key: token for key, token in state.tokens.items() if token.owner != name}
            return replace(state, users=users, tokens=tokens)

        await self._document.change(change)
        return removed

    async def add_token(
        self, name: str, owner: str, scope: tuple[Grant, ...] | None, expires: float
    ) -> tuple[AccessToken, Secret]:
        """Make a personal token of `owner`, or a robot's if that is empty. The secret is shown now or never.

        Raises `AccountInvalid` if a token of that owner has the name.
        """
        check_name(name)
        secret = Secret.new(Use.PERSONAL if owner else Use.ROBOT)
        token = AccessToken(secret.id, secret.use, name, owner, secret.hash, scope, self._clock(), expires)

        def change(state: AccountsState) -> AccountsState:
            for other in state.tokens.values():
                if (other.name, other.owner) == (name, owner):
                    raise AccountInvalid(
                        f"there is a token {name} already; revoke it first: cargohold token revoke {other.id}"
                    )
            return replace(state, tokens={**state.tokens, token.id: token})

        await self._document.change(change)
        return token, secret

    async def revoke_token(self, token_id: str) -> None:
        """End a token, with all that was obtained with it."""

        def change(state: AccountsState) -> AccountsState:
            return replace(state, tokens={key: token for key, token in state.tokens.items() if key != token_id})

        await self._document.change(change)

    async def revoke_login(self, login: str, until: float) -> None:
        """Refuse all bearer tokens that came from a login (a refresh token's id); forget it after `until`."""
        now = self._clock()

        def change(state: AccountsState) -> AccountsState:
            kept = {key: end for key, end in state.revoked.items() if end > now}
            return replace(state, revoked={**kept, login: until})

        await self._document.change(change)


def check_name(name: str) -> str:
    """A name of a user or token as it is. Raises `AccountInvalid`."""
    if not _NAME.fullmatch(name):
        raise AccountInvalid(f"{name!r} cannot be a name; use letters, digits and . _ @ + - (at most 128 of them)")
    return name


def _decode(data: Any) -> AccountsState:
    if data is None:
        return AccountsState()
    users = [
        StoredUser(name, item["password_hash"], tuple(item["groups"]), item["created"])
        for name, item in data["users"].items()
    ]
    tokens = [_decode_token(key, item) for key, item in data["tokens"].items()]
    return AccountsState(
        {user.name: user for user in users}, {token.id: token for token in tokens}, dict(data["revoked"])
    )


def _decode_token(key: str, item: Any) -> AccessToken:
    scope = None if item["scope"] is None else tuple(Grant.parse(text) for text in item["scope"])
    return AccessToken(
        key, Use(item["use"]), item["name"], item["owner"], item["hash"], scope, item["created"], item["expires"]
    )


def _encode(state: AccountsState) -> Any:
    return {
        "users": {
            user.name: {"password_hash": user.password_hash, "groups": user.groups, "created": user.created}
            for user in state.users.values()
        },
        "tokens": {
            token.id: {
                "use": token.use,
                "name": token.name,
                "owner": token.owner,
                "hash": token.secret_hash,
                "scope": None if token.scope is None else [str(grant) for grant in token.scope],
                "created": token.created,
                "expires": token.expires,
            }
            for token in state.tokens.values()
        },
        "revoked": dict(state.revoked),
    }
