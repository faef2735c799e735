"""Names and passwords become identities, and identities end with what they came from."""

import base64
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from auth.access import Action, Grant, ResourceScope
from auth.accounts import Accounts
from auth.authenticator import Authenticator, Sources
from auth.bearer import BearerMint, BearerOptions, BearerVerifier
from auth.errors import AccountInvalid, RequestInvalid, Throttled, Unauthenticated
from auth.guard import Guard, read_basic
from auth.htpasswd import HtpasswdFile
from auth.identity import ANONYMOUS, Credential, Identity, Kind
from auth.keys import SigningKeys
from auth.passwords import Passwords, check_hash, cost_of, stamp_of
from auth.policy import DEFAULT_RULES, Policy, Rule, Subject
from auth.policy_source import PolicySource
from auth.refresh_tokens import RefreshTokens
from auth.service import TokenRequest, TokenService
from auth.throttle import Throttle
from auth.token_uses import TokenUses
from auth.users import LocalUser, LocalUsers
from storage_backends.memory import MemoryBackend

pytestmark = pytest.mark.anyio
# "secret" with the lowest cost, as `htpasswd -nbBC 4` writes it
STORED = "$2y$04$" + "fhm9yXS2UzMqHYFz.6zs2eIgAeMkQnhuMNxRM4dR2BzZPGFmDqZ2G"
OPTIONS = BearerOptions("cargohold", ("here",), 300, 30)
HERE = "192.0.2.1"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def stored() -> str:
    """The hash of "secret"."""
    return bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()


class World:
    """Everything that finds out who somebody is, over storage in memory."""

    def __init__(self, stored: str, htpasswd: Path | None = None, storage: MemoryBackend | None = None) -> None:
        self.backend = storage or MemoryBackend()
        self.clock = Clock()
        self.accounts = Accounts(self.backend, "auth/")
        self.passwords = Passwords(clock=self.clock)
        self.throttle = Throttle(3, 6, 60, self.clock)
        configured = {"alice": LocalUser("alice", stored, frozenset({"dev"}))}
        users = LocalUsers(configured, HtpasswdFile(htpasswd, self.clock) if htpasswd else None, self.accounts)
        self.authenticator = Authenticator(
            Sources(users, self.accounts), self.passwords, self.throttle, TokenUses(self.backend, "auth/")
        )
        keys = SigningKeys(self.backend, "auth/")
        self.refresh = RefreshTokens(self.backend, "auth/", 1000)
        self.policy = PolicySource(Policy((*DEFAULT_RULES, Rule((Subject("robot", "ci"),), ("x",), frozenset()))))
        self.service = TokenService(self.authenticator, BearerMint(OPTIONS, keys), self.refresh, self.policy)
        self.guard = Guard(BearerVerifier(OPTIONS, keys), self.policy, self.authenticator, self.accounts)

    async def login(self, name: str, password: str, address: str = HERE) -> Identity:
        return await self.authenticator.login(name, password, address)


@pytest.fixture
def world(stored: str) -> Iterator[World]:
    found = World(stored)
    yield found
    found.passwords.close()


async def test_the_right_password_makes_the_user(world: World) -> None:
    found = await world.login("alice", "secret")

    assert (found.kind, found.name) == (Kind.USER, "alice")
    assert found.groups == {"dev"}
    assert found.credential.kind == "password"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong"), ("alice", ""), ("nobody", "secret"), ("", "secret"), ("Alice", "secret"),
        ("alice", "secret\0"), ("alice", "s" * 20_000), ("a" * 300, "secret"), ("alice\0", "secret"),
        ("alice", "cargohold_pat_aaaaaaaaaaaa_" + "a" * 46), ("alice", "cargohold_"), ("alice", "\ud800"),
    ],
)  # fmt: skip
async def test_whatever_is_wrong_is_refused_in_the_same_words(world: World, name: str, password: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await world.login(name, password)

    assert refused.value.message == "the user name or password is wrong"


async def test_an_unknown_name_costs_the_same_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[int] = []
    check = bcrypt.checkpw

    def counted(data: bytes, hashed: bytes) -> bool:
        costs.append(int(hashed[4:6]))
        return check(data, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    for name in ("alice", "nobody", "another"):
        with pytest.raises(Unauthenticated):
            await world.login(name, "wrong")

    assert costs == [4, 4, 4]


async def test_a_right_password_is_remembered_for_a_while_and_a_wrong_one_is_not(world: World, stored: str) -> None:
    assert not world.passwords.knows("alice", "secret", stored)
    await world.login("alice", "secret")

    assert world.passwords.knows("alice", "secret", stored)
    assert not world.passwords.knows("alice", "Secret", stored)
    assert not world.passwords.knows("bob", "secret", stored)
    assert not world.passwords.knows("alice", "secret", stored + "x")
    world.clock.now += 301
    assert not world.passwords.knows("alice", "secret", stored)


async def test_long_passwords_count_to_the_72nd_byte_as_they_do_elsewhere(stored: str) -> None:
    passwords = Passwords()
    long = "x" * 72
    hashed = await passwords.hash(long, 4)

    assert await passwords.matches("a", long + "more", hashed, [4])
    for refused in ("", "x" * 73, "a\0b"):
        with pytest.raises(AccountInvalid):
            await passwords.hash(refused, 4)
    passwords.close()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("$apr1$abc$def", "MD5"), ("{SHA}abc=", "SHA-1"), ("$6$abc$def", "SHA-512"), ("$5$a$b", "SHA-256"),
        ("secret", "plain text"), ("$2y$31$" + "a" * 53, "bcrypt with"), ("$2y$05$short", "bcrypt with"), ("", "plain"),
        ("$argon2id$v=19$", "Argon2"),
    ],
)  # fmt: skip
def test_other_hashes_are_named_and_never_shown(text: str, kind: str) -> None:
    with pytest.raises(AccountInvalid, match=kind) as refused:
        check_hash(text)

    assert not text or text not in refused.value.message


def test_what_htpasswd_writes_is_accepted(stored: str) -> None:
    assert check_hash(STORED) == STORED
    assert cost_of(STORED) == 4
    assert stamp_of(STORED) != stamp_of(stored)
    assert len(stamp_of(STORED)) == 16


class TestHtpasswd:
    """The file of registry:2."""

    def test_lines_are_read_as_distribution_does(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        file = tmp_path / "htpasswd"
        other = STORED.replace("fhm9", "fhm8")
        file.write_text(f"# people\n\nalice:{STORED}\nbob:$apr1$x$y\nalice:{other}\n")

        users = HtpasswdFile(file)

        assert users.find("alice") == other
        assert users.find("bob") is None
        assert users.find("nobody") is None
        assert "MD5" in users.unusable()["bob"]
        assert users.costs() == (4,)
        assert f"{file}:4" in caplog.text
        assert "$apr1$x$y" not in caplog.text

    @pytest.mark.parametrize("content", [b"alice\n", b":x\n", b"\xff\xfe:a\n"])
    def test_a_file_that_is_none_is_refused_with_its_line(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "htpasswd").write_bytes(content)

        with pytest.raises(AccountInvalid, match="htpasswd"):
            HtpasswdFile(tmp_path / "htpasswd")

    def test_a_change_counts_within_a_second_and_a_bad_one_never(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file, clock = tmp_path / "htpasswd", Clock()
        file.write_text(f"alice:{STORED}\n")
        users = HtpasswdFile(file, clock)
        file.write_text(f"alice:{STORED}\ncarol:{STORED}\n")

        assert users.find("carol") is None
        clock.now += 1
        assert users.find("carol") == STORED
        file.write_text("nonsense\n")
        clock.now += 1
        assert users.find("carol") == STORED
        file.unlink()
        clock.now += 1
        assert users.find("carol") == STORED
        assert caplog.text.count("the users in use are kept") == 2


async def test_guessing_is_held_back_even_where_the_guess_is_right_and_remembered(world: World) -> None:
    await world.login("alice", "secret")
    for number in range(6):
        with pytest.raises(Unauthenticated):
            await world.login("alice", f"guess{number}", f"198.51.100.{number}")

    with pytest.raises(Throttled):
        await world.login("alice", "secret", "203.0.113.9")


async def test_strangers_do_not_hold_back_whoever_is_at_home(world: World) -> None:
    await world.login("alice", "secret")
    for number in range(6):
        with pytest.raises(Unauthenticated):
            await world.login("alice", f"guess{number}", f"198.51.100.{number}")

    assert (await world.login("alice", "secret")).name == "alice"


async def test_an_address_is_held_back_for_its_own_guesses_also_at_home(world: World) -> None:
    await world.login("alice", "secret")
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await world.login("alice", "wrong")

    with pytest.raises(Throttled):
        await world.login("alice", "secret")


async def test_a_password_that_is_remembered_costs_no_look_at_the_accounts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.login("alice", "secret")

    async def asked() -> None:
        pytest.fail("the accounts were looked at")

    monkeypatch.setattr(world.authenticator, "refresh", asked)

    assert (await world.login("alice", "secret")).name == "alice"


async def test_bad_tokens_do_not_lock_the_person_out_whose_name_they_bear(world: World) -> None:
    for number in range(8):
        with pytest.raises(Unauthenticated):
            await world.login("alice", "cargohold_pat_aaaaaaaaaaaa_" + f"{number:046d}", f"198.51.100.{number}")

    assert (await world.login("alice", "secret", "203.0.113.1")).name == "alice"


async def test_a_robot_is_no_user_and_a_user_no_robot(world: World) -> None:
    _, secret = await world.accounts.add_token("alice", "", (Grant.parse("a:pull"),), 0)

    found = await world.login("alice", secret.text)

    assert (found.kind, str(found)) == (Kind.ROBOT, "robot:alice")
    with pytest.raises(Unauthenticated):
        await world.login("bob", secret.text)


async def test_a_personal_token_ends_with_its_user_and_its_time(world: World, stored: str) -> None:
    await world.accounts.add_user("bob", stored, ("ops",))
    _, secret = await world.accounts.add_token("laptop", "bob", (Grant.parse("a:pull"),), 0)
    _, short = await world.accounts.add_token("short", "bob", None, 1.0)

    found = await world.login("bob", secret.text)

    assert (found.kind, found.name) == (Kind.USER, "bob")
    assert found.groups == {"ops"}
    with pytest.raises(Unauthenticated):
        await world.login("bob", short.text)
    with pytest.raises(Unauthenticated):
        await world.login("laptop", secret.text)
    await world.accounts.remove_user("bob")
    with pytest.raises(Unauthenticated):
        await world.login("bob", secret.text)


async def test_the_first_source_that_has_the_name_decides(stored: str, tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(f"bob:{STORED}\ncarol:$apr1$a$b\n")
    world = World(stored, tmp_path / "htpasswd")
    for name in ("alice", "bob", "carol"):
        await world.accounts.add_user(name, await world.passwords.hash("weak", 4), ())

    for name in ("alice", "bob", "carol"):
        with pytest.raises(Unauthenticated):
            await world.login(name, "weak", f"10.0.0.{len(name)}")
    world.passwords.close()


async def bearer(world: World, identity: Identity, *scopes: str, offline: bool = False) -> tuple[str, str]:
    """An `Authorization` with a token, and the refresh token."""
    asked = TokenRequest("here", [ResourceScope.parse(scope) for scope in scopes], "docker", offline)
    granted = await world.service.grant(identity, asked)
    return f"Bearer {granted.token}", granted.refresh_token


async def test_a_token_holds_what_is_asked_for_and_allowed(world: World) -> None:
    alice = await world.login("alice", "secret")
    header, _ = await bearer(world, alice, "repository:a:pull,push,admin,fly", "registry:catalog:*", "registry:x:*")

    caller = await world.guard.identify(header, HERE)

    assert caller.bearer is not None
    assert caller.bearer.repositories == {"a": {Action.PULL, Action.PUSH}}
    assert caller.may(Action.PUSH, "a")
    assert not caller.may(Action.DELETE, "a")
    assert not caller.may(Action.PULL, "b")
    assert caller.may_list()
    assert Action.DELETE in caller.allowed("a")


async def test_what_is_not_asked_for_is_not_granted(world: World) -> None:
    header, refresh = await bearer(world, await world.login("alice", "secret"))

    caller = await world.guard.identify(header, HERE)

    assert not caller.may_list()
    assert refresh == ""


async def test_a_token_for_nobody_grants_nothing(world: World) -> None:
    header, refresh = await bearer(world, ANONYMOUS, "repository:a:pull", "registry:catalog:*", offline=True)

    caller = await world.guard.identify(header, HERE)

    assert caller.is_anonymous
    assert not caller.may(Action.PULL, "a")
    assert not caller.may_list()
    assert refresh == ""


async def test_a_service_that_is_not_ours_gets_no_tokens(world: World) -> None:
    assert world.service.service("") == "here"
    with pytest.raises(RequestInvalid):
        world.service.service("elsewhere")


async def test_bearer_and_refresh_tokens_end_with_the_password(world: World, stored: str) -> None:
    await world.accounts.add_user("bob", stored, ())
    header, refresh = await bearer(world, await world.login("bob", "secret"), "repository:a:pull", offline=True)
    assert (await world.guard.identify(header, HERE)).identity.name == "bob"
    assert (await world.service.resume(refresh, "here")).identity.name == "bob"

    await world.accounts.set_password("bob", await world.passwords.hash("new", 4))

    with pytest.raises(Unauthenticated) as refused:
        await world.guard.identify(header, HERE)
    assert refused.value.reason == "invalid_token"
    with pytest.raises(Unauthenticated):
        await world.service.resume(refresh, "here")


async def test_a_bearer_token_ends_with_the_access_token_it_came_from(world: World) -> None:
    token, secret = await world.accounts.add_token("ci", "", (Grant.parse("a:pull"),), 0)
    header, _ = await bearer(world, await world.login("ci", secret.text), "repository:a:pull,push")
    assert (await world.guard.identify(header, HERE)).may(Action.PULL, "a")

    await world.accounts.revoke_token(token.id)

    with pytest.raises(Unauthenticated):
        await world.guard.identify(header, HERE)


async def test_a_bearer_token_ends_with_the_login_it_came_from(world: World) -> None:
    header, refresh = await bearer(world, await world.login("alice", "secret"), "repository:a:pull", offline=True)
    login = await world.service.resume(refresh, "here")

    await world.accounts.revoke_login(login.id, 9e9)

    with pytest.raises(Unauthenticated):
        await world.guard.identify(header, HERE)


async def test_a_token_that_another_process_has_just_made_counts_here(world: World) -> None:
    other = Accounts(world.backend, "auth/")
    await world.accounts.state()
    _, secret = await other.add_token("ci", "", (Grant.parse("a:pull"),), 0)

    assert (await world.login("ci", secret.text)).name == "ci"


async def test_a_caller_is_recalled_for_a_second(world: World) -> None:
    header, _ = await bearer(world, await world.login("alice", "secret"), "repository:a:pull")
    assert world.guard.recall(header) is None

    caller = await world.guard.identify(header, HERE)

    assert world.guard.recall(header) is caller
    assert world.guard.recall(header + "x") is None
    assert world.guard.recall(None) is None


async def test_large_tokens_of_which_a_stranger_may_have_thousands_stay_in_nobodys_memory(world: World) -> None:
    policy = Policy((Rule((Subject("anonymous"),), ("**",), frozenset({Action.PULL})),))
    world.service = TokenService(
        world.authenticator,
        BearerMint(OPTIONS, SigningKeys(world.backend, "auth/")),
        world.refresh,
        PolicySource(policy),
    )
    scopes = [f"repository:{'a' * 190}{number}:pull" for number in range(40)]
    headers = [(await bearer(world, ANONYMOUS, *scopes))[0] for _ in range(100)]
    await world.guard.identify((await bearer(world, ANONYMOUS))[0], HERE)

    tracemalloc.start()
    for header in headers:
        assert (await world.guard.identify(header, HERE)).bearer is not None
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(headers[0]) > 10_000
    assert kept < 500_000


async def test_somebody_in_a_thousand_groups_of_a_directory_gets_a_token_that_is_accepted(world: World) -> None:
    rules = (Rule((Subject("group", "Berlin-Engineering-Readers-7"),), ("**",), frozenset({Action.PULL})),)
    policy = PolicySource(Policy(rules, {"own": frozenset({"zoe"})}))
    keys = SigningKeys(world.backend, "auth/")
    world.service = TokenService(world.authenticator, BearerMint(OPTIONS, keys), world.refresh, policy)
    guard = Guard(BearerVerifier(OPTIONS, keys), policy, world.authenticator, world.accounts)
    groups = frozenset(f"Berlin-Engineering-Readers-{number}" for number in range(1000))
    zoe = Identity(Kind.USER, "zoe", groups, credential=Credential("ldap"))

    header, _ = await bearer(world, zoe, "repository:a/b:pull")

    assert len(header) < 2000
    assert (await guard.identify(header, HERE)).may(Action.PULL, "a/b")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "!!!",
        base64.b64encode(b"nocolon").decode(),
        base64.b64encode(b"\xff:\xff").decode(),
        "YTpi\n\nYTpi",
        "a:b",
        "YTpi\xff",
    ],
)
async def test_basic_credentials_that_are_none_are_refused(world: World, value: str) -> None:
    with pytest.raises(Unauthenticated):
        await world.guard.identify(f"Basic {value}", HERE)


def test_a_password_may_hold_colons() -> None:
    assert read_basic(base64.b64encode(b"alice:a:b").decode()) == ("alice", "a:b")


@pytest.mark.parametrize("header", ["", "Digest x", "Bearer", "Bearer ", "Bearer x.y.z", "Negotiate abc", "bearer\tx"])
async def test_other_credentials_are_refused(world: World, header: str) -> None:
    with pytest.raises(Unauthenticated):
        await world.guard.identify(header, HERE)


async def test_a_login_that_another_process_has_just_let_in_goes_on_here(world: World, stored: str) -> None:
    other = World(stored, storage=world.backend)
    for accounts in (world.accounts, other.accounts):
        await accounts.state()  # looked at now, and not again within a second
    _, secret = await Accounts(world.backend, "auth/").add_token("ci", "", (Grant.parse("a:pull"),), 0)
    header, refresh = await bearer(other, await other.login("ci", secret.text), "repository:a:pull", offline=True)

    assert (await world.service.resume(refresh, "here")).identity.name == "ci"
    await world.accounts.state()
    assert (await world.guard.identify(header, HERE)).identity.name == "ci"
    other.passwords.close()


async def test_a_login_that_is_resumed_is_a_use_of_the_access_token_it_came_from(world: World, stored: str) -> None:
    token, secret = await world.accounts.add_token("ci", "", (Grant.parse("a:pull"),), 0)
    other, uses = World(stored, storage=world.backend), TokenUses(world.backend, "auth/")
    _, refresh = await bearer(other, await other.login("ci", secret.text), offline=True)
    await uses.forget(token.id)

    await world.service.resume(refresh, "here")

    assert await uses.last(token.id) is not None
    other.passwords.close()
