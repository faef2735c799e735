"""`cargohold gc`: remove what nobody needs, while everybody goes on pushing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.failure import INTERRUPTED, MISUSED, Failure
from registry.cli.settings_options import ConfigOption, RootOption, load_settings
from registry.cli.showing import Steps
from registry.cli.storage_access import check_owner, check_there
from registry.ops.stopping import run_until_stopped

if TYPE_CHECKING:
    from config.checks import Problem
    from config.settings import Settings
    from registry.cleanup.gc import Collected, Options


def gc(  # noqa: PLR0917  # the command line gives them by name
    config: ConfigOption = None,
    root: RootOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    grace: Annotated[
        str,
        typer.Option(
            "--grace",
            metavar="TIME",
            help="Leave alone what is younger, such as 1h; less than servers know of makes pushes begin again.",
            show_default="cleanup.grace_seconds",
        ),
    ] = "",
    share: Annotated[
        float,
        typer.Option("--share", min=0.01, max=1.0, help="Work for this share of the time, rest for what is left."),
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Remove blobs that no manifest needs, dead links, abandoned uploads and what is left of empty repositories.

    Servers may run and clients may push meanwhile. Manifests stay, tagged or not: `cargohold rmi` and `cargohold prune`
    remove those. Stopped in the middle it leaves nothing half-done; run it again to go on. A server does it by itself
    every `cleanup.interval_seconds`.

    \b
    Examples:
      cargohold gc --dry-run
      cargohold gc --root /srv/registry --grace 12h
      cargohold gc --config cargohold.yml --share 0.25 --json

    Exit code 1 also if another collection is running.
    """
    from registry.app_cleanup import gc_options  # noqa: PLC0415  # start-up time

    settings = settings_of_storage(config, root)
    options = replace(gc_options(settings), share=share, dry_run=dry_run)
    if grace:
        options = replace(options, grace=seconds("--grace", grace))
    collected = run_gc(settings, options, quiet=quiet)
    if as_json:
        output.json_result({"dry_run": dry_run, **asdict(collected)})
        return
    for note in collected.notes:
        output.note(note)
    _report(collected, dry_run=dry_run)


def settings_of_storage(
    config: Path | None, root: Path | None, checks: "Sequence[Callable[[Settings], Iterable[Problem]]]" = ()
) -> "Settings":
    """The settings, which pass the `checks`, of a storage that is there and that a server can still write to
    afterwards. Raises `Failure`.
    """
    settings = load_settings(config, {"--root": root}, checks)
    check_there(settings)
    check_owner(settings)
    return settings


def seconds(option: str, text: str) -> float:
    """The duration that an option gives. Raises `Failure`."""
    from config.units import parse_duration  # noqa: PLC0415  # start-up time

    try:
        return parse_duration(text)
    except ValueError as error:
        raise Failure(f"{option}: {error}", MISUSED) from error


def run_gc(settings: "Settings", options: "Options", *, quiet: bool) -> "Collected":
    """One whole collection. Raises `Failure`."""
    with told(options.lease):
        return run_until_stopped(_collect(settings, options, quiet=quiet))


@contextmanager
def told(lease: float) -> Iterator[None]:
    """What ends a cleanup becomes a `Failure`; `lease` is how long (seconds) that of a dead collector lasts."""
    from registry.content.leases import CollectorBusy, LeaseLost  # noqa: PLC0415  # start-up time
    from storage_backends.errors import StorageError  # noqa: PLC0415

    try:
        yield
    except KeyboardInterrupt:
        raise Failure("stopped; nothing is half-done, run it again to go on", INTERRUPTED) from None
    except CollectorBusy as error:
        raise Failure(f"{error}; if that one is dead, another may begin {lease:.0f} s after its last sign") from error
    except LeaseLost as error:
        raise Failure(f"stopped: {error}. Run it again to go on") from error
    except StorageError as error:
        raise Failure(f"the storage failed: {error}. What was removed is gone; run it again to go on") from error


async def _collect(settings: "Settings", options: "Options", *, quiet: bool) -> "Collected":
    from registry.app_cleanup import holder  # noqa: PLC0415  # start-up time
    from registry.app_storage import build_backend  # noqa: PLC0415
    from registry.cleanup.gc import Collection  # noqa: PLC0415

    work = Collection(build_backend(settings), options, holder())
    steps = Steps()
    async for collected in work.run():
        if not quiet:
            steps(_line(collected))
    steps.end()
    return work.collected


def _line(collected: "Collected") -> str:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    return (
        f"{collected.stage}: {collected.repositories} repositories, {collected.manifests} manifests, "
        f"{collected.blobs} blobs seen; {format_size(collected.freed)} freed"
    )


def _report(collected: "Collected", *, dry_run: bool) -> None:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    verb = "Would remove" if dry_run else "Removed"
    output.result(
        f"{verb} {collected.removed_blobs} of {collected.blobs} blobs, {collected.removed_links} links, "
        f"{collected.removed_sessions} abandoned uploads, {collected.removed_history} entries of tags' history, "
        f"{collected.removed_trash} records of deletions, {collected.removed_referrers} referrers"
    )
    output.result(f"Total {'reclaimable' if dry_run else 'reclaimed'} space: {format_size(collected.freed)}")
