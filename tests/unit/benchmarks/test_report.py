"""Figures come out as they went in."""

import json
from xml.etree import ElementTree

import pytest

from benchmarks.report import Result, as_json, plot, table

FASTER = Result("push <big>", "MB/s", [300.0, 100.0, 200.0], [100.0, 90.0, 110.0], target=1.6)
SLOWER = Result("page", "ms", [10.0], [5.0], more_is_better=False, target=1.0)
ALONE = Result("start-up", "s", [0.4], [])


def test_a_ratio_is_that_of_the_medians() -> None:
    assert FASTER.ratio == 2.0
    assert SLOWER.ratio == 2.0
    assert ALONE.ratio is None


@pytest.mark.parametrize(("result", "met"), [(FASTER, True), (SLOWER, False), (ALONE, None)])
def test_a_target_is_met_on_the_side_that_is_better(result: Result, met: bool | None) -> None:
    assert result.met is met


def test_the_table_names_every_row_and_what_was_missed() -> None:
    lines = table([FASTER, SLOWER, ALONE]).splitlines()

    assert [line[:10].strip() for line in lines[1:]] == ["push <big>", "page", "start-up"]
    assert lines[1].endswith("met") and lines[2].endswith("MISSED")


def test_the_json_holds_every_round() -> None:
    document = json.loads(as_json([FASTER, ALONE], ("ours", "theirs")))

    assert document["rows"][0]["ours"] == [300.0, 100.0, 200.0]
    assert document["rows"][1]["ratio"] is None


def test_the_plot_is_an_svg_with_a_bar_for_each_ratio() -> None:
    picture = ElementTree.fromstring(plot([FASTER, SLOWER, ALONE]))

    bars = list(picture.iter("{http://www.w3.org/2000/svg}rect"))
    assert len(bars) == 1 + 2
