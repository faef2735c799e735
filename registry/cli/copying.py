"""What commands that copy images say while they do, and what they say of those that failed."""

from typing import TYPE_CHECKING

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
    parts = [f"{done}/{images} images", f"{format_size(size)}/{format_size(tally.size)}"]
    if seconds and tally.size_moved:
        rate = tally.size_moved / seconds
        left = max(0, tally.size - size) / rate
        parts += [f"{format_size(int(rate))}/s", f"{int(left // 60)}:{int(left % 60):02} left"]
    if failed:
        parts.append(f"{failed} failed")
    return "  ".join(parts)


def failures(tally: "Tally") -> list[dict[str, str]]:
    """The images that failed, for programs."""
    return [{"image": str(failed.image), "reason": failed.reason} for failed in tally.failed]
