"""What commands that copy images say while they do, and what they say of those that failed."""

from typing import TYPE_CHECKING

from registry.cli.showing import bar

if TYPE_CHECKING:
    from registry.cli.showing import Line
    from registry.mirror.progress import Tally


def line_of(tally: "Tally", images: int) -> "Line":
    """How far the copy of so many images is, with the rate, and the time that is left for what is known to come."""

    def line(seconds: float) -> str:
        return line_at(tally, seconds, tally.images_done, images, len(tally.failed))

    return line


def line_at(tally: "Tally", seconds: float, done: int, images: int, failed: int) -> str:
    """The same after `seconds`, where the images are counted by somebody else."""
    from config.units import format_size  # noqa: PLC0415  # start-up time

    size = tally.size_done - tally.size_copied + max(tally.size_moved, tally.size_copied)
    parts = [*bar(size, tally.size), f"{done}/{images} images", f"{format_size(size)}/{format_size(tally.size)}"]
    parts += pace(tally.size_moved, tally.size - size, seconds)
    if failed:
        parts.append(f"{failed} failed")
    return "  ".join(parts)


def pace(moved: int, left: int, seconds: float) -> list[str]:
    """The rate at which bytes were moved, and the time that those which are left take; nothing before it is known."""
    from config.units import format_size  # noqa: PLC0415  # start-up time

    if not seconds or not moved:
        return []
    rate = moved / seconds
    time_left = int(max(0, left) / rate)
    return [f"{format_size(int(rate))}/s", f"{time_left // 60}:{time_left % 60:02} left"]


def but(done: int, others: str, *, would: bool = False) -> str:
    """What a message of images that failed says of those that did not, if there are any; in a dry run what would be."""
    return f"; the others {f'would be {others}' if would else f'were {others}'}" if done else ""


def failures(tally: "Tally") -> list[dict[str, str]]:
    """The images that failed, for programs."""
    return [{"image": str(failed.image), "reason": failed.reason} for failed in tally.failed]
