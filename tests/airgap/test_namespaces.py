"""The gap is one: what listens on one side is not there on the other."""

from pathlib import Path

from tests.airgap.namespaces import server_on, side


def test_nothing_on_the_open_side_can_be_reached_from_the_closed_one(tmp_path: Path) -> None:
    with side("open") as opened, side("closed") as closed, server_on(opened, tmp_path) as server:
        assert opened.reaches(f"{server.url}/v2/")
        assert not closed.reaches(f"{server.url}/v2/")
