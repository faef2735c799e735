"""Failed logins: who waits, for how long, and who does not wait for the sake of others."""

from dataclasses import dataclass

import pytest

from auth.errors import IdentityUnavailable, Throttled, Unauthenticated
from auth.throttle import Throttle

HERE = "192.0.2.1"
DAY = 86_400


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def waits(throttle: Throttle, account: str, address: str) -> int:
    """For how many seconds this account waits at this address."""
    try:
        throttle.check(account, address)
    except Throttled as error:
        return error.retry_after
    return 0


def fail(throttle: Throttle, times: int, account: str = "alice", address: str = HERE) -> None:
    for _ in range(times):
        throttle.failed(account, address)


def test_the_last_failure_that_is_allowed_locks_nobody_out_and_the_next_one_does(clock: Clock) -> None:
    throttle = Throttle(3, 100, 60, clock)
    fail(throttle, 2)
    assert waits(throttle, "alice", HERE) == 0

    fail(throttle, 1)
    assert waits(throttle, "alice", HERE) == 60


def test_the_wait_is_told_in_whole_seconds_and_never_as_none(clock: Clock) -> None:
    throttle = Throttle(3, 100, 60, clock)
    fail(throttle, 3)
    clock.now += 59.999
    assert waits(throttle, "alice", HERE) == 1

    clock.now += 0.001
    assert waits(throttle, "alice", HERE) == 0


def test_clients_behind_a_dual_stack_socket_are_as_many_as_their_ipv4_addresses(clock: Clock) -> None:
    throttle = Throttle(3, 100, 60, clock)
    fail(throttle, 3, address="::ffff:192.0.2.1")

    assert waits(throttle, "bob", "::ffff:192.0.2.2") == 0
    assert waits(throttle, "bob", "::ffff:192.0.2.1") == 60
    assert waits(throttle, "bob", HERE) == 60


@pytest.mark.parametrize("address", ["", "unix:", "fe80::1%eth0", "testclient"])
def test_an_address_of_another_form_is_held_back_like_any(clock: Clock, address: str) -> None:
    throttle = Throttle(3, 100, 60, clock)
    fail(throttle, 3, address=address)

    assert waits(throttle, "bob", address) == 60
    assert waits(throttle, "bob", HERE) == 0


def test_an_address_is_at_home_for_a_day_after_a_login_and_for_that_account_only(clock: Clock) -> None:
    throttle = Throttle(100, 3, 60, clock)
    throttle.succeeded("alice", HERE)
    clock.now += DAY - 1
    for account in ("alice", "bob"):
        for number in range(3):
            fail(throttle, 1, account, f"198.51.100.{number}")
    assert waits(throttle, "alice", HERE) == 0
    assert waits(throttle, "bob", HERE) == 60

    clock.now += 1
    assert waits(throttle, "alice", HERE) == 59


def test_an_address_at_home_is_still_held_back_for_its_own_failures(clock: Clock) -> None:
    throttle = Throttle(3, 100, 60, clock)
    throttle.succeeded("alice", HERE)
    fail(throttle, 3)

    assert waits(throttle, "alice", HERE) == 60


def test_the_wait_is_short_again_after_a_quiet_quarter_of_an_hour(clock: Clock) -> None:
    throttle = Throttle(3, 100, 60, clock)
    for expected in (60, 120):
        fail(throttle, 3)
        assert waits(throttle, "alice", HERE) == expected
        clock.now += expected

    clock.now += 901
    fail(throttle, 3)
    assert waits(throttle, "alice", HERE) == 60


def test_guesses_made_all_at_once_are_not_more_than_those_made_in_turn(clock: Clock) -> None:
    throttle = Throttle(3, 100, 60, clock)
    under_way = [throttle.attempt(f"user{number}", HERE) for number in range(3)]
    for attempt in under_way:
        attempt.__enter__()

    with pytest.raises(Throttled), throttle.attempt("alice", HERE):
        pytest.fail("a fourth guess was made")
    for attempt in under_way:
        attempt.__exit__(None, None, None)
    with throttle.attempt("alice", HERE):
        pass


def test_only_a_wrong_credential_is_a_failure_and_an_attempt_that_breaks_off_leaves_nothing(clock: Clock) -> None:
    throttle = Throttle(2, 2, 60, clock)
    for _ in range(10):
        with pytest.raises(IdentityUnavailable), throttle.attempt("alice", HERE):
            raise IdentityUnavailable("the directory is away")
    assert waits(throttle, "alice", HERE) == 0

    for _ in range(2):
        with pytest.raises(Unauthenticated), throttle.attempt("alice", HERE):
            raise Unauthenticated("wrong")
    assert waits(throttle, "alice", HERE) == 60


def test_no_more_homes_are_remembered_than_the_bound_and_the_oldest_goes_first(clock: Clock) -> None:
    throttle = Throttle(100, 1, 60, clock)
    for number in range(10_001):
        throttle.succeeded(f"user{number}", HERE)
    for account in ("user0", "user1"):
        fail(throttle, 1, account, "198.51.100.1")

    assert waits(throttle, "user0", HERE) == 60
    assert waits(throttle, "user1", HERE) == 0


def test_an_address_waits_longer_each_time(clock: Clock) -> None:
    throttle = Throttle(3, 100, 60, clock)
    waited = []
    for _ in range(6):
        for number in range(3):
            throttle.failed(f"user{number}", HERE)
        waited.append(waits(throttle, "anybody", HERE))
        clock.now += waited[-1]
        assert waits(throttle, "anybody", HERE) == 0

    assert waited == [60, 120, 240, 480, 900, 900]
    assert waits(throttle, "user1", "192.0.2.2") == 0


def test_failures_that_lie_apart_do_not_add_up(clock: Clock) -> None:
    throttle = Throttle(3, 3, 60, clock)
    for _ in range(10):
        throttle.failed("alice", HERE)
        clock.now += 31

    assert waits(throttle, "alice", HERE) == 0


def test_an_account_is_guarded_from_many_addresses_but_stays_open_where_it_is_at_home(clock: Clock) -> None:
    throttle = Throttle(3, 6, 60, clock)
    throttle.succeeded("alice", HERE)
    for number in range(6):
        throttle.failed("alice", f"198.51.100.{number}")

    assert waits(throttle, "alice", "203.0.113.9") == 60
    assert waits(throttle, "alice", HERE) == 0
    assert waits(throttle, "bob", "203.0.113.9") == 0


def test_logging_in_to_ones_own_account_forgives_no_guesses(clock: Clock) -> None:
    throttle = Throttle(3, 100, 60, clock)
    for _ in range(3):
        throttle.failed("alice", HERE)
        throttle.succeeded("mallory", HERE)

    assert waits(throttle, "alice", HERE) == 60


def test_an_ipv6_network_is_one_address(clock: Clock) -> None:
    throttle = Throttle(3, 100, 60, clock)
    for number in range(3):
        throttle.failed("alice", f"2001:db8::{number}")

    assert waits(throttle, "alice", "2001:db8::ffff") == 60
    assert waits(throttle, "alice", "2001:db8:0:1::1") == 0


def test_memory_is_bounded(clock: Clock) -> None:
    throttle = Throttle(3, 3, 60, clock)
    for number in range(25_000):
        throttle.failed(f"user{number}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")

    assert len(throttle._addresses) == len(throttle._accounts) == 10_000
