"""Times and digests as docker shows them to people. Pure. Source: docker/go-units, duration.go; docker's formatter."""

from contextlib import suppress
from datetime import UTC, datetime

_MINUTE, _HOUR = 60, 3600


def ago(moment: datetime | None, now: float) -> str:
    """`2 weeks ago`; `N/A` for no time. `now` in seconds since the epoch."""
    return f"{duration(now - moment.timestamp())} ago" if moment is not None else "N/A"


def duration(seconds: float) -> str:
    """A time span in one unit, as go-units' `HumanDuration`."""
    whole = int(seconds)
    hours = int(seconds / _HOUR + 0.5)
    steps = (
        (whole < 1, "Less than a second"),
        (whole == 1, "1 second"),
        (whole < _MINUTE, f"{whole} seconds"),
        (whole < 2 * _MINUTE, "About a minute"),
        (whole < _HOUR, f"{whole // _MINUTE} minutes"),
        (hours == 1, "About an hour"),
        (hours < 48, f"{hours} hours"),
        (hours < 14 * 24, f"{hours // 24} days"),
        (hours < 60 * 24, f"{hours // 24 // 7} weeks"),
        (hours < 730 * 24, f"{hours // 24 // 30} months"),
        (True, f"{whole // _HOUR // 24 // 365} years"),
    )
    return next(text for fits, text in steps if fits)


def at(moment: datetime | None) -> str:
    """`2024-01-01 00:00:00 +0000 UTC`, in local time, as docker's `.CreatedAt` of images; `N/A` for no time."""
    if moment is None:
        return "N/A"
    with suppress(OverflowError):  # there is no year 10000
        moment = moment.astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S %z %Z")


def rfc3339(moment: datetime | None) -> str:
    """`2024-01-01T00:00:00Z`; empty for no time."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if moment is not None else ""


def shortened(text: str, size: int) -> str:
    """At most so many characters, with an ellipsis for what is left out."""
    return text if len(text) <= size else text[: size - 1] + "…"


def short_id(digest: str) -> str:
    """The first twelve digits of a digest."""
    return digest.partition(":")[2][:12] or digest
