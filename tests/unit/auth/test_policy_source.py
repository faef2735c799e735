"""Rules follow their file, but never one that is wrong, nor one that is still being written."""

import logging
from collections.abc import Callable

import pytest

from auth.policy import DEFAULT_RULES, OPEN_RULES, Policy
from auth.policy_source import PolicySource, RulesFile

FIRST, SECOND, THIRD = Policy(()), Policy(DEFAULT_RULES), Policy(OPEN_RULES)


class World:
    """A file, what it loads as, and a clock; the file's own clock differs by `skew`."""

    def __init__(self, skew: float = 0.0) -> None:
        self.now = 100.0
        self.skew = skew
        self.written = 0.0
        self.version = 1
        self.content: Policy | ValueError = FIRST
        self.loads = 0
        self.on_load: Callable[[], None] = lambda: None
        file = RulesFile(self._load, lambda: self.version, lambda: self.now - self.written - self.skew)
        self.source = PolicySource(FIRST, file, 1, lambda: self.now)

    def write(self, content: Policy | ValueError) -> None:
        self.version, self.content, self.written = self.version + 1, content, self.now

    def after(self, seconds: float) -> Policy:
        """The policy when that time has passed."""
        self.now += seconds
        return self.source.current()

    def _load(self, _: Policy) -> Policy:
        self.loads += 1
        content = self.content
        self.on_load()
        if isinstance(content, ValueError):
            raise content
        return content


def test_a_wrong_policy_never_takes_the_place_of_a_right_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World()
    world.write(ValueError("cargohold.yml:3: nobody"))

    assert world.after(1) is FIRST
    assert "cargohold.yml:3" in caplog.text
    assert (world.after(1), world.loads) == (FIRST, 1)
    world.write(SECOND)
    assert world.after(1) is SECOND
    assert "1 rules, before that 0" in caplog.text


def test_a_file_counts_when_nobody_has_written_to_it_for_a_second() -> None:
    world = World()
    world.source.current()
    world.now += 0.9
    for _ in range(20):
        world.write(SECOND)
        assert world.after(0.1) is FIRST
    assert world.loads == 0

    assert world.after(0.9) is SECOND


@pytest.mark.parametrize("asked", [0.01, 0.3, 0.99])
def test_it_is_not_later_for_having_been_seen_unfinished(asked: float) -> None:
    world = World()
    world.source.current()
    world.now += 1.0
    world.write(SECOND)

    assert world.after(asked) is FIRST
    assert world.after(1.001 - asked) is SECOND


@pytest.mark.parametrize("skew", [3600.0, -3600.0])
def test_where_clocks_differ_a_file_counts_at_the_second_look_at_the_latest(skew: float) -> None:
    world = World(skew)
    world.source.current()
    world.write(SECOND)

    world.after(1)
    assert world.after(1) is SECOND


def test_what_was_written_while_it_was_read_does_not_count() -> None:
    world = World()
    world.write(SECOND)
    world.on_load = lambda: world.write(THIRD) if world.loads == 1 else None

    assert world.after(1) is FIRST
    assert world.after(1) is THIRD


def test_what_has_changed_since_it_was_read_is_noticed_at_once() -> None:
    world = World()
    world.write(SECOND)
    world.now += 1
    file = RulesFile(lambda _: SECOND, lambda: 2, lambda: 1.0)

    assert PolicySource(FIRST, file, 1, lambda: 0.0).current() is SECOND
