"""The disk says no at any step: the request gets an error, the server goes on, and everything else is as it was."""

import json
import random
from pathlib import Path

import pytest

from tests.faults.audit import check_all
from tests.faults.client import Client, Owed
from tests.faults.forked_server import ForkedServer
from tests.faults.steps import FAILURES, Steps, fail_with

_ACTIONS = 10


@pytest.mark.timeout(60)
@pytest.mark.parametrize("seed", range(60))
def test_a_failing_step_fails_its_request_only(seed: int, tmp_path: Path) -> None:
    choice = random.Random(seed)
    number = FAILURES[seed % len(FAILURES)]
    client = Client(Owed(), choice)
    steps = Steps(choice.randint(5, 120), fail_with(number))
    server = ForkedServer(tmp_path, lambda: steps.wrap(setattr))
    client.port = server.port

    try:
        answers = [client.act() for _ in range(_ACTIONS)]

        failed = [answer for answer in answers if answer.status >= 500]
        assert len(failed) <= 1, failed
        for answer in failed:
            assert answer.status in (503, 507), answer
            assert json.loads(answer.body)["errors"][0]["message"]
        check_all(client, tmp_path)
    finally:
        server.stop()
