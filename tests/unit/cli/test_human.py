"""Times and ids as docker shows them."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from registry.cli.human import ago, at, duration, rfc3339, short_id, shortened

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(seconds=-5), "Less than a second"),
        (timedelta(seconds=1.9), "1 second"),
        (timedelta(seconds=59), "59 seconds"),
        (timedelta(seconds=60), "About a minute"),
        (timedelta(minutes=2), "2 minutes"),
        (timedelta(minutes=59, seconds=59), "59 minutes"),
        (timedelta(minutes=60), "About an hour"),
        (timedelta(minutes=91), "2 hours"),
        (timedelta(hours=47), "47 hours"),
        (timedelta(hours=48), "2 days"),
        (timedelta(days=13), "13 days"),
        (timedelta(days=14), "2 weeks"),
        (timedelta(days=59), "8 weeks"),
        (timedelta(days=60), "2 months"),
        (timedelta(days=729), "24 months"),
        (timedelta(days=730), "2 years"),
    ],
)
def test_a_time_span_reads_as_with_docker(span: timedelta, text: str) -> None:
    assert duration(span.total_seconds()) == text
    assert ago(NOW - span, NOW.timestamp()) == f"{text} ago"


def test_no_time_is_said() -> None:
    assert (ago(None, 0.0), at(None), rfc3339(None)) == ("N/A", "N/A", "")


def test_times_and_ids_are_cut_as_docker_cuts_them() -> None:
    assert rfc3339(NOW + timedelta(seconds=0.5)) == "2026-01-01T00:00:00Z"
    assert short_id("sha256:" + "0123456789abcdef" * 4) == "0123456789ab"
    assert (shortened("short", 5), shortened("longer", 5)) == ("short", "long…")


def test_a_time_that_is_none_where_we_are_is_told_as_it_is_at_greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who pushes an image that was made in the last hour of 9999 ends nobody's list."""
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        assert at(NOW) == "2026-01-01 01:00:00 +0100 CET"
        assert at(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)) == "9999-12-31 23:59:59 +0000 UTC"
    finally:
        monkeypatch.undo()
        time.tzset()
