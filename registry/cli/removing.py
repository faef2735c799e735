"""What commands that remove images have in common: they ask, show how far they are, and say what came of it."""

import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import typer

from registry.cli import output
from registry.cli.failure import INTERRUPTED, MISUSED, Failure
from registry.cli.gc import run_gc
from registry.cli.showing import Steps

if TYPE_CHECKING:
    from config.settings import Settings
    from registry.cleanup.gc import Collected
    from registry.cleanup.image_removal import ImageRemoval, Removed


def ask(warning: str) -> None:
    """Ask whether to go on. Raises `Failure` if not, or if nobody can be asked."""
    if not sys.stdin.isatty():
        raise Failure("there is no terminal to ask: say --force, or look first with --dry-run", MISUSED)
    output.note(warning)
    try:
        if not typer.confirm("Are you sure you want to continue?", err=True):
            raise Failure("nothing was removed")
    except typer.Abort:
        raise Failure("stopped; nothing was removed", INTERRUPTED) from None


async def removed_images(work: "ImageRemoval") -> "Removed":
    """Do it, and say now and then how far it is."""
    steps = Steps()
    async for where in work.run():
        steps(where)
    steps.end()
    return work.removed


def gc_after(settings: "Settings", grace: float) -> "Collected":
    """Collect garbage at full speed, for the space to be free at once. Raises `Failure`."""
    from registry.app_cleanup import gc_options  # noqa: PLC0415  # start-up time

    return run_gc(settings, replace(gc_options(settings), grace=grace, share=1.0), quiet=True)


def print_json(removed: "Removed", collected: "Collected | None", *, dry_run: bool, **more: object) -> None:
    """What came of it, for programs; `more` is what only this command has to say."""
    rows = [
        {
            "repository": one.image.repository,
            "digest": str(one.image.digest),
            "untagged": one.tags,
            "deleted": one.whole,
            **({"reason": one.reason} if one.reason else {}),
        }
        for one in removed.going
    ]
    result = {"dry_run": dry_run, "images": rows, "reclaimed": removed.freed, "notes": removed.notes}
    output.json_result({**result, **more, "gc": asdict(collected) if collected else None})


def total(removed: "Removed", *, dry_run: bool, collected: bool) -> str:
    """What it frees, in a line; `collected` if it is free already."""
    from config.units import format_size  # noqa: PLC0415  # start-up time

    when = (
        "" if dry_run or collected or not removed.freed else " with the first garbage collection after the grace period"
    )
    return f"Total {'reclaimable' if dry_run else 'reclaimed'} space: {format_size(removed.freed)}{when}"
