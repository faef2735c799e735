"""What is remembered of a directory's answers, and to whom that is of use."""

import pytest

from auth.accounts import Accounts
from auth.authenticator import Authenticator, Sources
from auth.directory import Directory
from auth.errors import Throttled, Unauthenticated
from auth.ldap_directory import LdapDirectory, LdapUser
from auth.passwords import Passwords
from auth.throttle import Throttle
from auth.token_uses import TokenUses
from auth.users import LocalUsers
from storage_backends.memory import MemoryBackend

pytestmark = pytest.mark.anyio
HERE = "192.0.2.1"


class OneUser(LdapDirectory):
    """A directory with alice, whose password is "secret"."""

    def __init__(self) -> None:
        self.asked = 0

    async def check(self, name: str, password: str) -> LdapUser | None:
        self.asked += 1
        return LdapUser("alice", frozenset()) if (name, password) == ("alice", "secret") else None

    async def find(self, name: str) -> LdapUser | None:
        return LdapUser("alice", frozenset()) if name.lower() == "alice" else None


async def test_a_user_is_known_by_the_name_that_the_directory_spells() -> None:
    accounts = Accounts(MemoryBackend(), "auth/")
    sources = Sources(LocalUsers({}, None, accounts), accounts, Directory(OneUser()))

    assert [await sources.know(name) for name in ("alice", "ALICE", "bob")] == [True, False, False]


async def test_what_is_left_of_a_user_is_not_whose_alias_the_name_has_become(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, ldap = MemoryBackend(), OneUser()
    accounts = Accounts(backend, "auth/")
    sources = Sources(LocalUsers({}, None, accounts), accounts, Directory(ldap, 0))
    passwords = Passwords()
    authenticator = Authenticator(sources, passwords, Throttle(), TokenUses(backend, "auth/"))
    _, secret = await accounts.add_token("laptop", "alice", None, 0)
    by_token = await authenticator.login("alice", secret.text, HERE)
    by_password = await authenticator.login("alice", "secret", HERE)

    async def successor(_: OneUser, name: str) -> LdapUser | None:
        return LdapUser("bob", frozenset({"ops"})) if name in ("alice", "bob") else None

    monkeypatch.setattr(OneUser, "find", successor)

    for name in ("alice", "bob"):
        with pytest.raises(Unauthenticated):
            await authenticator.login(name, secret.text, HERE)
    assert [await authenticator.confirm(one, thoroughly=True) for one in (by_token, by_password)] == [None, None]
    passwords.close()


async def test_an_answer_that_is_remembered_lets_in_whoever_is_at_home_and_no_guesser_from_elsewhere() -> None:
    backend, ldap = MemoryBackend(), OneUser()
    accounts = Accounts(backend, "auth/")
    sources = Sources(LocalUsers({}, None, accounts), accounts, Directory(ldap))
    passwords = Passwords()
    authenticator = Authenticator(sources, passwords, Throttle(3, 6), TokenUses(backend, "auth/"))
    await authenticator.login("alice", "secret", HERE)
    for number in range(6):
        with pytest.raises(Unauthenticated):
            await authenticator.login("alice", f"guess{number}", f"198.51.100.{number}")
    asked = ldap.asked

    with pytest.raises(Throttled):
        await authenticator.login("alice", "secret", "203.0.113.9")
    assert (await authenticator.login("alice", "secret", HERE)).name == "alice"
    assert ldap.asked == asked
    passwords.close()
