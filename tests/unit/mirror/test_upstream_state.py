"""When an upstream is asked, and when it is left in peace."""

from contextlib import ExitStack

import pytest

from registry.content.errors import PlaceRateLimited, PlaceUnavailable
from registry.mirror.upstream_state import UpstreamState


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def state(clock: _Clock) -> UpstreamState:
    return UpstreamState("hub.example", 10.0, clock)


def test_an_upstream_that_has_answered_badly_is_in_trouble_for_a_while_and_can_be_asked(
    state: UpstreamState, clock: _Clock
) -> None:
    state.failed(PlaceUnavailable("503"))

    assert "hub.example" in state.trouble
    state.check()
    clock.now += 10
    assert not state.trouble


@pytest.mark.parametrize(
    ("error", "unreachable", "seconds"),
    [
        (PlaceRateLimited("429", 60), False, 60),
        (PlaceRateLimited("429", 10**9), False, 3600),
        (PlaceUnavailable("no route"), True, 10),
    ],
)
def test_an_upstream_that_cannot_be_asked_is_not_asked_until_its_time_has_come(
    state: UpstreamState, clock: _Clock, error: PlaceUnavailable, unreachable: bool, seconds: int
) -> None:
    state.failed(error, unreachable=unreachable)

    with pytest.raises(type(error), match="this is not cached") as raised:
        state.check()
    assert seconds <= raised.value.retry_after <= seconds + 1
    clock.now += seconds
    state.check()


def test_an_answer_ends_the_trouble(state: UpstreamState) -> None:
    state.failed(PlaceRateLimited("429", 60))

    state.answered()

    assert not state.trouble
    state.check()


def test_what_was_counted_is_told_once(state: UpstreamState) -> None:
    state.count("blobs fetched", 2)
    state.count("stale answers")

    assert state.told() == "upstream hub.example: 2 blobs fetched, 1 stale answers"
    assert state.told() == ""


def test_no_more_is_asked_for_at_once_than_there_are_connections_for(state: UpstreamState) -> None:
    """What is asked for goes on when the client is gone, so clients alone would set no limit."""
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(state.asking())

        with pytest.raises(PlaceUnavailable, match="too much at once"), state.asking():
            pass

    with state.asking():
        assert not state.trouble
