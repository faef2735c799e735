"""`cargohold prune`: remove images, in the words of `docker image prune`."""

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.failure import MISUSED, Failure
from registry.cli.gc import run_gc, seconds, settings_of_storage, told
from registry.cli.settings_options import ConfigOption, RootOption

if TYPE_CHECKING:
    from config.settings import Settings
    from registry.cleanup.filters import Filters
    from registry.cleanup.gc import Collected
    from registry.cleanup.inventory import Image
    from registry.cleanup.prune import Options, Pruned


def prune(  # noqa: PLR0917  # the command line gives them by name
    config: ConfigOption = None,
    root: RootOption = None,
    every: Annotated[
        bool, typer.Option("--all", "-a", help="Also images with tags that nobody has used since `until`.")
    ] = False,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="FILTER",
            help="until=24h, label=KEY[=VALUE], label!=…, repository=GLOB, tag=GLOB, tag=/REGEX/, dangling=false",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    then_gc: Annotated[bool, typer.Option("--gc", help="Free the space at once, and not with the next gc.")] = False,
    grace: Annotated[
        str,
        typer.Option(
            "--grace", metavar="TIME", help="Leave alone what is younger.", show_default="cleanup.grace_seconds"
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Remove dangling images: manifests without a tag that no index and no tagged image needs.

    With --all also images with tags, if nobody has pushed or pulled them since `--filter until=`. Immutable tags are
    never taken, nor what was pushed within the grace period. Servers may run and clients may push meanwhile. The space
    is free after the next garbage collection, or at once with --gc.

    \b
    Examples:
      cargohold prune --dry-run
      cargohold prune --force --gc
      cargohold prune --all --filter until=90d --filter 'repository=team/**'
      cargohold prune --all --filter until=14d --filter 'tag=/^pr-[0-9]+$/' --filter label!=keep
    """
    from dataclasses import replace  # noqa: PLC0415  # start-up time

    from registry.app_cleanup import gc_options  # noqa: PLC0415
    from registry.cleanup.prune import Options  # noqa: PLC0415

    chosen = _filters(filters or [])
    every = _every(chosen, every=every)
    settings = settings_of_storage(config, root)
    young = seconds("--grace", grace) if grace else settings.cleanup.grace_seconds
    options = Options(chosen, every=every, grace=young, lease=settings.cleanup.lease_seconds, dry_run=dry_run)
    if not dry_run and not force:
        _ask(chosen, every=every)
    with told(options.lease):
        pruned = asyncio.run(_prune(settings, options))
    collected = None
    if then_gc and not dry_run:
        collected = run_gc(settings, replace(gc_options(settings), grace=young, share=1.0), quiet=True)
    if as_json:
        _json(pruned, collected, dry_run=dry_run)
    else:
        _report(pruned, dry_run=dry_run, collected=collected is not None)


def _every(filters: "Filters", *, every: bool) -> bool:
    """Whether images that have tags are asked for, too. Raises `Failure`."""
    if every and filters.dangling:
        raise Failure("--all and --filter dangling=true contradict each other", MISUSED)
    every = every or filters.dangling is False
    if every and filters.until is None:
        raise Failure(
            "--all removes images that have tags: say since when nobody has used them, --filter until=30d", MISUSED
        )
    return every


def _filters(texts: list[str]) -> "Filters":
    from registry.cleanup.filters import FilterInvalid, parse_filters  # noqa: PLC0415  # start-up time

    try:
        return parse_filters(texts)
    except FilterInvalid as error:
        raise Failure(f"--filter {error}", MISUSED) from error


def _ask(filters: "Filters", *, every: bool) -> None:
    if not sys.stdin.isatty():
        raise Failure("there is no terminal to ask: say --force, or look first with --dry-run", MISUSED)
    what = "all dangling images"
    if every:
        moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(filters.until))
        what = f"all images that nobody has used since {moment}"
    output.note(f"WARNING! This will remove {what}.")
    if not typer.confirm("Are you sure you want to continue?", err=True):
        raise Failure("nothing was removed")


async def _prune(settings: "Settings", options: "Options") -> "Pruned":
    from registry.app_cleanup import holder, immutable_tags  # noqa: PLC0415  # start-up time
    from registry.app_storage import build_backend  # noqa: PLC0415
    from registry.cleanup.prune import Pruning  # noqa: PLC0415

    work = Pruning(build_backend(settings), options, immutable_tags(settings), holder())
    shown = time.monotonic()
    async for where in work.run():
        if time.monotonic() - shown > 1:
            shown = time.monotonic()
            output.progress(where)
    return work.pruned


def _json(pruned: "Pruned", collected: "Collected | None", *, dry_run: bool) -> None:
    from dataclasses import asdict  # noqa: PLC0415  # start-up time

    rows = [{"repository": one.repository, "digest": str(one.digest), "tags": one.tags} for one in pruned.images]
    result = {"dry_run": dry_run, "deleted": rows, "reclaimed": pruned.freed, "notes": pruned.notes}
    output.json_result({**result, "gc": asdict(collected) if collected else None})


def _report(pruned: "Pruned", *, dry_run: bool, collected: bool) -> None:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    for note in pruned.notes:
        output.note(note)
    if pruned.images:
        output.result("Would delete Images:" if dry_run else "Deleted Images:")
        for image in pruned.images:
            output.result("\n".join(_lines(image)))
        output.result("")
    when = "" if dry_run or collected or not pruned.images else " with the next garbage collection"
    output.result(f"Total {'reclaimable' if dry_run else 'reclaimed'} space: {format_size(pruned.freed)}{when}")


def _lines(image: "Image") -> list[str]:
    tagged = [f"untagged: {image.repository}:{tag}" for tag in image.tags]
    return [*tagged, f"deleted: {image.repository}@{image.digest}"]
