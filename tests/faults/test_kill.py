"""SIGKILL between any two steps of pushes, tag moves and deletes, over and over on one directory."""

import random
from pathlib import Path

import pytest

from tests.faults.audit import check_all
from tests.faults.client import Client, Gone, Owed
from tests.faults.forked_server import ForkedServer
from tests.faults.steps import Steps, kill

_KILLS_A_TREE = 10
_MOST_STEPS = 70
_MOST_ACTIONS = 12


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a tree: `--fault-runs` kills in all, seeded from `--fault-seed` on."""
    if "seed" in metafunc.fixturenames:
        first, runs = metafunc.config.getoption("--fault-seed"), metafunc.config.getoption("--fault-runs")
        metafunc.parametrize("seed", range(first, first + -(-runs // _KILLS_A_TREE)))


@pytest.mark.timeout(120)
def test_killed_anywhere_the_registry_comes_back_with_all_that_it_acknowledged(seed: int, tmp_path: Path) -> None:
    choice = random.Random(seed)
    client = Client(Owed(), choice)

    for _ in range(_KILLS_A_TREE):
        steps = Steps(choice.randint(1, _MOST_STEPS), kill)
        server = ForkedServer(tmp_path, lambda steps=steps: steps.wrap(setattr))  # type: ignore[misc]
        client.port = server.port
        _act_until_killed(client)
        server.stop()

        server = ForkedServer(tmp_path)
        client.port = server.port
        try:
            check_all(client, tmp_path)
        finally:
            server.stop()


def _act_until_killed(client: Client) -> None:
    try:
        for _ in range(_MOST_ACTIONS):
            client.act()
    except Gone:
        return
