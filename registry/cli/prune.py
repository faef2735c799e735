"""`cargohold prune`: remove images, in the words of `docker image prune`."""

from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.failure import MISUSED, Failure
from registry.cli.gc import seconds, settings_of_storage, told
from registry.cli.removing import ask, gc_after, print_json, removed_images, total
from registry.cli.settings_options import ConfigOption, RootOption
from registry.ops.stopping import run_until_stopped

if TYPE_CHECKING:
    from config.settings import Settings
    from registry.cleanup.filters import Filters
    from registry.cleanup.image_removal import Going, Options, Removed
    from storage_backends.base import StorageBackend


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
    then_gc: Annotated[
        bool, typer.Option("--gc", help="Free the space at once; what went cannot be restored.")
    ] = False,
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
    never taken, nor what was pushed within the grace period. Servers may run and clients may push meanwhile.
    `cargohold restore` brings back what went until the grace period has passed; the next garbage collection after that
    frees the space. With --gc it is free at once.

    \b
    Examples:
      cargohold prune --dry-run
      cargohold prune --force --gc
      cargohold prune --all --filter until=90d --filter 'repository=team/**'
      cargohold prune --all --filter until=14d --filter 'tag=/^pr-[0-9]+$/' --filter label!=keep
    """
    from registry.cleanup.image_removal import Options  # noqa: PLC0415  # start-up time

    chosen = _filters(filters or [])
    every = _every(chosen, every=every)
    settings = settings_of_storage(config, root)
    young = seconds("--grace", grace) if grace else settings.cleanup.grace_seconds
    restorable = 0.0 if then_gc else settings.cleanup.grace_seconds
    options = Options(young, restorable, settings.cleanup.lease_seconds, dry_run=dry_run)
    if not dry_run and not force:
        ask(_warning(chosen, every=every))
    with told(settings.cleanup.lease_seconds):
        removed = run_until_stopped(_prune(settings, chosen, options, every=every))
    collected = gc_after(settings, young) if then_gc and not dry_run else None
    if as_json:
        print_json(removed, collected, dry_run=dry_run)
    else:
        _report(removed, dry_run=dry_run, collected=collected is not None)


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


def _warning(filters: "Filters", *, every: bool) -> str:
    if not every:
        return "WARNING! This will remove all dangling images."
    moment = output.moment(filters.until)
    return f"WARNING! This will remove all images that nobody has pushed or pulled since {moment}."


async def _prune(settings: "Settings", filters: "Filters", options: "Options", *, every: bool) -> "Removed":
    from registry.app_cleanup import holder, immutable_tags  # noqa: PLC0415  # start-up time
    from registry.app_storage import build_backend  # noqa: PLC0415
    from registry.cleanup.image_removal import ImageRemoval  # noqa: PLC0415
    from registry.cleanup.prune import Prune  # noqa: PLC0415

    backend = build_backend(settings)
    if filters.until is not None:
        await _tell_since(backend, filters.until)
    chooser = Prune(backend, filters, immutable_tags(settings), options.grace, every)
    return await removed_images(ImageRemoval(backend, chooser, options, holder()))


async def _tell_since(backend: "StorageBackend", until: float) -> None:
    """Say why little or nothing goes, if that is so for want of records."""
    from registry.content.pull_times import PullTimes  # noqa: PLC0415  # start-up time

    since = await PullTimes(backend).since()
    if since is None:
        output.note("no server of this version has noted yet what is pulled: every image counts as used")
    elif since >= until:
        output.note(f"pulls are noted since {output.moment(since)} only: until then every image counts as used")


def _report(removed: "Removed", *, dry_run: bool, collected: bool) -> None:
    for note in removed.notes:
        output.note(note)
    if removed.going:
        output.result("Would delete Images:" if dry_run else "Deleted Images:")
        for going in removed.going:
            output.result("\n".join(_lines(going)))
        output.result("")
    output.result(total(removed, dry_run=dry_run, collected=collected))


def _lines(going: "Going") -> list[str]:
    image = going.image
    return [
        *(f"untagged: {image.repository}:{tag}" for tag in going.tags),
        f"deleted: {image.repository}@{image.digest}",
    ]
