"""Passwords: who is checked at what cost, what is remembered, and what never stops the event loop."""

import asyncio
import threading
from collections.abc import Iterator

import bcrypt
import pytest

import auth.passwords
from auth.errors import AccountInvalid, Throttled
from auth.passwords import Passwords, check_hash

pytestmark = pytest.mark.anyio
# "secret" as `htpasswd -Bbn -C 4` writes it
APACHE = "$2y$04$" + "kDPlyAHky/oyg7ytcEh9d.NumTVsitxVQKKiK3Jdpa8i8lgD6cjjC"
# 80 times "x", as it writes it
APACHE_LONG = "$2y$04$" + "s2db/mfKYQCgcjnYiOnQi.5OrYCDEiriRfRCvLbFDxzJOGbc/8N.y"
HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The cost of each bcrypt check that is made."""
    costs: list[int] = []
    check = bcrypt.checkpw

    def counted(data: bytes, hashed: bytes) -> bool:
        costs.append(int(hashed[4:6]))
        return check(data, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    return costs


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """No bcrypt check ends before this is set."""
    opened = threading.Event()
    check = bcrypt.checkpw

    def held(data: bytes, hashed: bytes) -> bool:
        assert opened.wait(30)
        return check(data, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", held)
    yield opened
    opened.set()


@pytest.mark.parametrize("stored", [APACHE, HASH, HASH.replace("$2b$", "$2a$"), HASH.replace("$2b$", "$2y$")])
async def test_the_password_of_each_form_of_bcrypt_is_right_and_others_are_not(
    passwords: Passwords, stored: str
) -> None:
    assert await passwords.matches("alice", "secret", check_hash(stored), [4])
    assert not await passwords.matches("alice", "Secret", stored, [4])


async def test_a_long_password_in_a_file_of_htpasswd_matches(passwords: Passwords) -> None:
    assert await passwords.matches("alice", "x" * 80, APACHE_LONG, [4])
    assert not await passwords.matches("alice", "x" * 71, APACHE_LONG, [4])


@pytest.mark.parametrize("last_of_salt", ["z", "/", "A"])
def test_a_salt_that_bcrypt_would_stumble_over_is_refused_when_it_is_read(last_of_salt: str) -> None:
    broken = HASH[:28] + last_of_salt + HASH[29:]
    with pytest.raises(ValueError, match="salt"):
        bcrypt.checkpw(b"secret", broken.encode())

    with pytest.raises(AccountInvalid, match="bcrypt with parameters") as refused:
        check_hash(broken)

    assert "htpasswd -nB" in refused.value.message
    assert "cargohold user passwd" in refused.value.message


async def test_unknown_names_have_costs_of_the_known_and_each_name_always_the_same(
    passwords: Passwords, worked: list[int]
) -> None:
    names = [f"nobody{number}" for number in range(40)]
    for _ in range(2):
        for name in names:
            assert not await passwords.matches(name, "secret", None, [4, 5])

    assert worked[:40] == worked[40:]
    assert set(worked) == {4, 5}


async def test_one_user_more_gives_few_unknown_names_another_cost(passwords: Passwords, worked: list[int]) -> None:
    names = [f"nobody{number}" for number in range(60)]
    for costs in ([4] * 20 + [5] * 20, [4] * 20 + [5] * 21):
        for name in names:
            await passwords.matches(name, "secret", None, costs)

    changed = sum(before != after for before, after in zip(worked[:60], worked[60:], strict=True))
    assert set(worked) == {4, 5}
    assert changed <= 6


async def test_a_remembered_password_costs_no_bcrypt_and_any_other_costs_one(
    passwords: Passwords, worked: list[int]
) -> None:
    changed = bcrypt.hashpw(b"other", bcrypt.gensalt(4)).decode()
    for _ in range(3):
        assert await passwords.matches("alice", "secret", HASH, [4])
    assert len(worked) == 1

    assert not await passwords.matches("alice", "wrong", HASH, [4])
    assert not await passwords.matches("alice", "wrong", HASH, [4])
    assert not await passwords.matches("alice", "secret", changed, [4])
    assert len(worked) == 4


async def test_what_is_remembered_is_no_password_and_not_more_than_its_bound(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth.passwords, "_REMEMBERED", 3)
    for number in range(5):
        assert await passwords.matches(f"user{number}", "secret", HASH, [4])

    assert [passwords.knows(f"user{number}", "secret", HASH) for number in range(5)] == [False, False, True, True, True]
    assert all(len(key) == 32 and b"secret" not in key for key in passwords._right)


async def test_a_password_with_a_zero_byte_never_matches_and_costs_the_same(
    passwords: Passwords, worked: list[int]
) -> None:
    empty = bcrypt.hashpw(b"", bcrypt.gensalt(4)).decode()
    replaced = bcrypt.hashpw(b"a\1b", bcrypt.gensalt(4)).decode()

    assert not await passwords.matches("alice", "secret\0more", HASH, [4])
    assert not await passwords.matches("alice", "\0", empty, [4])
    assert not await passwords.matches("alice", "a\0b", replaced, [4])
    assert worked == [4, 4, 4]


async def test_a_password_that_is_no_text_is_refused_and_not_repeated(passwords: Passwords) -> None:
    with pytest.raises(AccountInvalid) as refused:
        await passwords.hash("hunter2\ud800", 4)

    assert "hunter2" not in refused.value.message
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


async def test_the_loop_goes_on_while_a_password_is_checked(passwords: Passwords, gate: threading.Event) -> None:
    checking = asyncio.create_task(passwords.matches("alice", "secret", HASH, [4]))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not checking.done()

    gate.set()
    assert await checking


async def test_a_timer_ticks_while_a_hash_of_the_usual_cost_is_checked(passwords: Passwords) -> None:
    stored = await passwords.hash("secret")
    ticks = 0
    checking = asyncio.create_task(passwords.matches("alice", "secret", stored, [12]))
    while not checking.done():
        await asyncio.sleep(0.001)
        ticks += 1

    assert await checking
    assert stored.startswith("$2b$12$")
    assert ticks >= 5


async def test_who_comes_when_too_many_wait_is_sent_away_and_served_later(gate: threading.Event) -> None:
    passwords = Passwords(threads=1, waiting=2)
    checks = [asyncio.create_task(passwords.matches(name, "secret", HASH, [4])) for name in ("alice", "bob")]
    await asyncio.sleep(0)
    with pytest.raises(Throttled) as refused:
        await passwords.matches("carol", "secret", HASH, [4])
    assert refused.value.retry_after == 1

    gate.set()
    assert await asyncio.gather(*checks) == [True, True]
    assert await passwords.matches("carol", "secret", HASH, [4])
    passwords.close()
