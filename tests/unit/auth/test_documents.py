"""Accounts, keys and logins in storage: no change is lost, nobody's secret is kept, every process sees what is."""

import asyncio
import re
from pathlib import Path

import jwt
import pytest

from auth.access import Action, Grant
from auth.accounts import Accounts
from auth.bearer import Access, BearerMint, BearerOptions, BearerVerifier
from auth.errors import AccountInvalid, Unauthenticated
from auth.identity import ANONYMOUS, Credential, Identity, Kind
from auth.keys import KEPT_SECONDS, SigningKeys
from auth.refresh_tokens import RefreshTokens
from auth.secrets import Secret, Use
from auth.shared_key import SharedKey
from auth.token_uses import TokenUses
from storage_backends.errors import StorageFull
from storage_backends.filesystem import FilesystemBackend
from storage_backends.memory import MemoryBackend

pytestmark = pytest.mark.anyio
ALICE = Identity(Kind.USER, "alice", frozenset({"dev"}), credential=Credential("password", stamp="abc"))
OPTIONS = BearerOptions("issuer", ("here", "there"), 300, 30)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


async def test_of_many_changes_at_once_none_is_lost(backend: MemoryBackend) -> None:
    processes = [Accounts(backend, "auth/") for _ in range(8)]

    await asyncio.gather(*(one.add_user(f"user{number}", "h", ()) for number, one in enumerate(processes)))

    state = await Accounts(backend, "auth/").state()
    assert set(state.users) == {f"user{number}" for number in range(8)}


async def test_a_user_is_there_once(backend: MemoryBackend) -> None:
    accounts = Accounts(backend, "auth/")
    await accounts.add_user("alice", "one", ("dev",))

    with pytest.raises(AccountInvalid, match="already"):
        await accounts.add_user("alice", "two", ())
    with pytest.raises(AccountInvalid, match="no user bob"):
        await accounts.set_password("bob", "x")
    assert await accounts.remove_user("bob") == []

    assert (await accounts.state()).users["alice"].password_hash == "one"


@pytest.mark.parametrize("name", ["", "a/b", "a b", "-a", "a:b", "ä", "a" * 129, "a\n", "<token>"])
async def test_a_name_that_cannot_be_typed_or_told_apart_is_refused(backend: MemoryBackend, name: str) -> None:
    with pytest.raises(AccountInvalid):
        await Accounts(backend, "auth/").add_user(name, "h", ())
    with pytest.raises(AccountInvalid):
        await Accounts(backend, "auth/").add_token(name, "", (), 0)


async def test_removing_a_user_takes_their_tokens_and_leaves_robots(backend: MemoryBackend) -> None:
    accounts = Accounts(backend, "auth/")
    await accounts.add_user("alice", "h", ())
    personal, _ = await accounts.add_token("laptop", "alice", None, 0)
    robot, _ = await accounts.add_token("alice", "", (Grant.parse("a:pull"),), 0)

    assert await accounts.remove_user("alice") == [personal]

    assert list((await accounts.state()).tokens) == [robot.id]


async def test_a_token_is_found_by_name_or_id_until_it_is_revoked_and_what_is_kept_is_not_the_secret(
    backend: MemoryBackend,
) -> None:
    accounts = Accounts(backend, "auth/")
    first, secret = await accounts.add_token("ci", "", (Grant.parse("team/*:pull,push"),), 0)
    with pytest.raises(AccountInvalid, match="already"):
        await accounts.add_token("ci", "", (), 0)

    kept = (await backend.get("auth/accounts")).data
    assert secret.text.encode() not in kept
    assert secret.is_kept_as((await accounts.state()).tokens[first.id].secret_hash)
    assert (await Accounts(backend, "auth/").state()).tokens[first.id] == first

    for wanted in (first.id, "ci"):
        assert (await accounts.state()).token(wanted) == first
    await accounts.revoke_token(first.id)
    for wanted in (first.id, "ci"):
        with pytest.raises(AccountInvalid, match="no token"):
            (await accounts.state()).token(wanted)


async def test_an_id_is_never_taken_for_a_name(backend: MemoryBackend) -> None:
    accounts = Accounts(backend, "auth/")
    first, _ = await accounts.add_token("ci", "", (), 0)
    await accounts.add_token(first.id, "alice", None, 0)

    assert (await accounts.state()).token(first.id) == first


async def test_ended_logins_are_forgotten_when_no_token_of_theirs_can_be_left(
    backend: MemoryBackend, clock: Clock
) -> None:
    accounts = Accounts(backend, "auth/", clock)
    await accounts.revoke_login("old", clock.now + 10)
    clock.now += 11
    await accounts.revoke_login("new", clock.now + 10)

    assert set((await accounts.state(fresh=True)).revoked) == {"new"}


def test_secrets_look_as_the_docs_say_and_a_mistyped_one_is_none() -> None:
    for use in Use:
        secret = Secret.new(use)
        assert re.fullmatch(r"cargohold_(pat|robot|refresh)_[a-z0-9]{12}_[A-Za-z0-9]{46}", secret.text)
        assert Secret.parse(secret.text) == secret
        assert secret.text not in repr(secret)
        wrong = secret.text[:-10] + ("a" if secret.text[-10] != "a" else "b") + secret.text[-9:]
        assert Secret.parse(wrong) is None
    assert Secret.parse("cargohold_admin_" + "a" * 12 + "_" + "a" * 46) is None
    assert len({Secret.new(Use.ROBOT).text for _ in range(100)}) == 100


async def test_the_first_key_is_one_however_many_processes_start(backend: MemoryBackend) -> None:
    processes = [SigningKeys(backend, "auth/") for _ in range(8)]

    found = await asyncio.gather(*(one.all() for one in processes))

    assert len(set(found)) == 1
    assert len(found[0]) == 1
    assert found[0][0].private_pem not in repr(found[0][0])


async def test_a_new_key_is_published_before_it_signs_and_the_old_one_verifies_after(
    backend: MemoryBackend, clock: Clock
) -> None:
    keys = SigningKeys(backend, "auth/", clock)
    [old] = await keys.all()
    new = await keys.rotate(400)

    assert {entry["kid"] for entry in (await keys.jwks())["keys"]} == {old.id, new.id}
    assert (await keys.signer())[0] == old.id
    clock.now += 76
    assert (await keys.signer())[0] == new.id
    assert await keys.verifier(old.id) is not None
    clock.now += 400
    assert await keys.verifier(old.id) is None
    assert [key.id for key in await keys.all()] == [new.id]


async def test_a_new_key_signs_when_even_an_answer_that_was_kept_on_the_way_has_it(
    backend: MemoryBackend, clock: Clock
) -> None:
    keys = SigningKeys(backend, "auth/", clock)
    [old] = await keys.all()
    await keys.rotate(400)

    clock.now += KEPT_SECONDS + 10  # and whoever has asked just before that asks again only now
    assert (await keys.signer())[0] == old.id


async def test_public_keys_hold_nothing_private(backend: MemoryBackend) -> None:
    [entry] = (await SigningKeys(backend, "auth/").jwks())["keys"]

    assert set(entry) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


async def test_rotating_at_once_refuses_what_the_old_keys_signed(backend: MemoryBackend) -> None:
    keys = SigningKeys(backend, "auth/")
    token = await BearerMint(OPTIONS, keys).issue(ALICE, "here", [])
    verifier = BearerVerifier(OPTIONS, keys)
    await verifier.verify(token)

    await keys.rotate(400, at_once=True)

    with pytest.raises(Unauthenticated):
        await verifier.verify(token)


async def test_a_token_says_what_docker_wants_to_read(backend: MemoryBackend, clock: Clock) -> None:
    keys = SigningKeys(backend, "auth/")
    access = [Access("repository", "", "a/b", ("pull", "push")), Access("registry", "", "catalog", ("*",))]

    token = await BearerMint(OPTIONS, keys, clock).issue(ALICE, "there", access, "login1")

    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("issuer", "alice", "there")
    assert claims["exp"] - claims["iat"] == 300
    assert claims["nbf"] <= claims["iat"] == int(clock.now)
    assert claims["jti"]
    assert claims["access"] == [
        {"type": "repository", "name": "a/b", "actions": ["pull", "push"]},
        {"type": "registry", "name": "catalog", "actions": ["*"]},
    ]


async def test_a_token_comes_back_as_what_was_granted(backend: MemoryBackend) -> None:
    keys = SigningKeys(backend, "auth/")
    access = [Access("repository", "plugin", "a/b", ("pull",)), Access("registry", "", "catalog", ("*",))]
    token = await BearerMint(OPTIONS, keys).issue(ALICE, "here", access, "login1")

    bearer = await BearerVerifier(OPTIONS, keys).verify(token)

    assert bearer.identity == ALICE
    assert bearer.repositories == {"a/b": {Action.PULL}}
    assert (bearer.catalog, bearer.login) == (True, "login1")


async def test_a_token_for_another_service_or_issuer_is_nothing_here(backend: MemoryBackend) -> None:
    keys = SigningKeys(backend, "auth/")
    mint = BearerMint(OPTIONS, keys)

    for options in (BearerOptions("issuer", ("there",), 300, 30), BearerOptions("another", ("here",), 300, 30)):
        with pytest.raises(Unauthenticated) as refused:
            await BearerVerifier(options, keys).verify(await mint.issue(ALICE, "here", []))
        assert refused.value.reason == "invalid_token"


async def test_a_token_ends_when_its_time_and_the_leeway_are_over(backend: MemoryBackend) -> None:
    keys = SigningKeys(backend, "auth/")
    verifier_clock = Clock()
    token = await BearerMint(OPTIONS, keys).issue(ANONYMOUS, "here", [])
    verifier = BearerVerifier(OPTIONS, keys, verifier_clock)
    verifier_clock.now = 0.0
    expires = (await verifier.verify(token)).expires

    verifier_clock.now = expires + 29
    await verifier.verify(token)
    verifier_clock.now = expires + 30
    with pytest.raises(Unauthenticated, match="expired"):
        await verifier.verify(token)


async def test_a_login_lasts_until_it_is_over_or_ended(backend: MemoryBackend, clock: Clock) -> None:
    tokens = RefreshTokens(backend, "auth/", 100, clock)
    text, login = await tokens.issue(ALICE, "here", "docker")

    assert await tokens.find(text, "here") == login
    assert await tokens.find(text, "there") is None
    assert await tokens.find(text + "x", "here") is None
    assert await tokens.find("", "here") is None
    keys = (await backend.list("auth/logins/")).entries
    kept = [key.encode() + (await backend.get(key)).data for key in keys]
    assert len(kept) == 1
    assert text.encode() not in kept[0]
    clock.now += 100
    assert await tokens.find(text, "here") is None
    assert [one async for one in tokens.all()] == []


async def test_ending_a_login_leaves_the_others(backend: MemoryBackend, clock: Clock) -> None:
    tokens = RefreshTokens(backend, "auth/", 100, clock)
    first, one = await tokens.issue(ALICE, "here", "docker")
    second, two = await tokens.issue(ALICE, "here", "podman")

    assert await tokens.revoke(lambda login: login.id == one.id) == [one]

    assert await tokens.find(first, "here") is None
    assert await tokens.find(second, "here") == two


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (".nfs0001", b"{}"),
        (".DS_Store", b"x"),
        ("notes.txt", b"x"),
        ("a" * 64, b""),
        ("b" * 64, b"{}"),
        ("c" * 64, b"["),
    ],
)
async def test_what_strayed_among_logins_hinders_nobody_from_ending_one(tmp_path: Path, name: str, data: bytes) -> None:
    logins = RefreshTokens(FilesystemBackend(tmp_path), "auth/", 1000)
    text, login = await logins.issue(ALICE, "here", "docker")
    (tmp_path / "auth/logins" / name).write_bytes(data)

    assert [one.id async for one in logins.all()] == [login.id]
    assert await logins.sweep() == 0
    assert [one.id for one in await logins.revoke(lambda one: one.id == login.id)] == [login.id]
    assert await logins.find(text, "here") is None


async def test_logins_that_are_over_are_swept(backend: MemoryBackend, clock: Clock) -> None:
    tokens = RefreshTokens(backend, "auth/", 100, clock)
    await tokens.issue(ALICE, "here", "docker")
    clock.now += 100
    _, login = await tokens.issue(ALICE, "here", "docker")

    assert await tokens.sweep() == 1

    assert len((await backend.list("auth/logins/")).entries) == 1
    assert [one async for one in tokens.all()] == [login]


async def test_a_login_waits_for_no_other_one(
    backend: MemoryBackend, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = RefreshTokens(backend, "auth/", 100, clock)
    await tokens.issue(ALICE, "here", "docker")
    clock.now += 10_000
    monkeypatch.setattr(backend, "get", None)

    await RefreshTokens(backend, "auth/", 100, clock).issue(ALICE, "here", "docker")


async def test_others_get_on_while_logins_are_swept(backend: MemoryBackend, clock: Clock) -> None:
    tokens = RefreshTokens(backend, "auth/", 100, clock)
    for _ in range(3):
        await tokens.issue(ALICE, "here", "docker")
    clock.now += 100
    sweeping = asyncio.create_task(tokens.sweep())
    await asyncio.sleep(0)

    assert not sweeping.done()
    assert await sweeping == 3


async def test_the_last_use_is_written_now_and_then_and_never_in_the_way(
    backend: MemoryBackend, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses = TokenUses(backend, "auth/", clock)
    assert await uses.last("t") is None
    await uses.note("t")
    began = clock.now
    clock.now += 299
    await uses.note("t")
    assert await uses.last("t") == began
    clock.now += 2
    await uses.note("t")
    assert await uses.last("t") == clock.now

    async def full(*_: object, **__: object) -> None:
        raise StorageFull("the disk is full")

    monkeypatch.setattr(backend, "put", full)
    await uses.note("other")
    assert "cannot be kept" in caplog.text


async def test_the_shared_key_is_made_once_and_the_same_everywhere(backend: MemoryBackend) -> None:
    keys = [SharedKey(backend, "auth/") for _ in range(8)]

    found = await asyncio.gather(*(key() for key in keys))

    assert len(set(found)) == 1
    assert len(found[0]) == 32
    assert await SharedKey(MemoryBackend(), "auth/")() != found[0]
