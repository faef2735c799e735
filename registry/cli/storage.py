"""`cargohold storage …`: a registry's data as a whole."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.copying import pace
from registry.cli.failure import INTERRUPTED, MISUSED, Failure
from registry.cli.gc import settings_of_storage
from registry.cli.settings_options import ConfigOption, RootOption, load_settings
from registry.cli.showing import bar, shown
from registry.cli.storage_access import check_owner
from registry.ops.stopping import run_until_stopped

if TYPE_CHECKING:
    from config.settings import Settings
    from registry.content.storage_copy import Progress

app = typer.Typer(help="Move a registry's data, and clear what is left of uploads.", no_args_is_help=True)


@app.command()
def copy(  # noqa: PLR0917  # the command line gives them by name
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="A directory, s3://BUCKET[/PREFIX], or a settings file.")
    ],
    target: Annotated[str, typer.Argument(metavar="TO", help="The same.")],
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=256, help="Objects on their way at a time.")] = 8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be copied.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Afterwards read every blob at the target once more.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Copy a whole registry to another storage: from a directory to a bucket, or back.

    It can be stopped and run again: what is there is left alone. Blobs are compared with their digests on the way. The
    source may be served meanwhile; what is pushed, moved or deleted during the copy is only right after one more run
    without pushes. Nothing is ever removed at the target.

    Of s3://… everything but bucket and prefix comes from the environment (AWS_ENDPOINT_URL, AWS_REGION, keys); a
    settings file (*.yml) can say it all in its section `storage`.

    \b
    Examples:
      cargohold storage copy /srv/registry s3://images/main --dry-run
      cargohold storage copy /srv/registry new.yml --jobs 16 --verify
      cargohold storage copy old.yml /srv/registry
    """
    from storage_backends.errors import StorageError  # noqa: PLC0415  # start-up time

    places = [_settings_of(source), _settings_of(target)]
    if places[0].storage == places[1].storage:
        raise Failure("FROM and TO are the same place", MISUSED)
    check_owner(places[1])
    try:
        found = run_until_stopped(_copy(places[0], places[1], jobs, dry_run=dry_run, verify=verify, quiet=quiet))
    except KeyboardInterrupt:
        raise Failure("stopped; run it again to go on from there", INTERRUPTED) from None
    except StorageError as error:
        raise Failure(f"{error}. What has been copied stays; run it again to go on from there") from error
    _report(found, dry_run=dry_run, as_json=as_json)


@app.command()
def expire(
    config: ConfigOption = None,
    root: RootOption = None,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="Not written to for so long.", show_default="as set")
    ] = "",
) -> None:
    """Forget uploads that nobody goes on with, and what killed processes left. A server does it by itself every hour.

    \b
    Examples:
      cargohold storage expire --config cargohold.yml
      cargohold storage expire --older-than 6h
    """
    from config.units import parse_duration  # noqa: PLC0415  # start-up time
    from registry.app_storage import build_backend  # noqa: PLC0415
    from registry.content import keyspace  # noqa: PLC0415
    from storage_backends.errors import StorageError  # noqa: PLC0415

    settings = settings_of_storage(config, root)
    try:
        age = float(parse_duration(older_than)) if older_than else settings.storage.upload_lifetime_seconds
    except ValueError as error:
        raise Failure(f"--older-than: {error}", MISUSED) from error
    try:
        count = run_until_stopped(build_backend(settings).expire_uploads(keyspace.UPLOADS, age))
    except StorageError as error:
        raise Failure(f"the storage failed: {error}") from error
    output.result(f"{count} removed")


def _settings_of(place: str) -> "Settings":
    """What FROM or TO stands for."""
    from config.settings import Settings  # noqa: PLC0415  # start-up time
    from config.storage import S3Settings, StorageSettings  # noqa: PLC0415

    if place.startswith("s3://"):
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        if not bucket:
            raise Failure(f"{place} names no bucket: write s3://BUCKET/PREFIX", MISUSED)
        try:
            return Settings(storage=StorageSettings(s3=S3Settings(bucket=bucket, prefix=prefix.strip("/"))))
        except ValueError as error:
            raise Failure(f"{place}: write single slashes between names: s3://BUCKET/PREFIX", MISUSED) from error
    if place.endswith((".yml", ".yaml")):
        return load_settings(Path(place), {})
    return Settings(storage=StorageSettings(root=Path(place).absolute()))


async def _copy(
    source: "Settings", target: "Settings", jobs: int, *, dry_run: bool, verify: bool, quiet: bool
) -> "Progress":
    from registry.app_storage import build_backend, place_of  # noqa: PLC0415  # start-up time
    from registry.content.storage_copy import StorageCopy  # noqa: PLC0415

    if not source.storage.s3.bucket and not source.storage.root.is_dir():
        raise Failure(f"{place_of(source)} is not there", MISUSED)
    work = StorageCopy(build_backend(source), build_backend(target), jobs)
    if not await work.is_registry():
        raise Failure(f"{place_of(source)} holds no registry: there is no docker/registry/v2 in it", MISUSED)
    async with shown(lambda seconds: _line(work.progress, seconds), quiet=quiet):
        await work.count()
        await work.run(dry_run=dry_run)
        if verify and not dry_run:
            await work.verify()
    return work.progress


def _line(progress: "Progress", seconds: float) -> str:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    parts = [
        *bar(progress.size_done, progress.size),
        f"{progress.objects_done}/{progress.objects} objects",
        f"{format_size(progress.size_done)}/{format_size(progress.size)}",
    ]
    parts += pace(progress.size_copied, progress.size - progress.size_done, seconds)
    if progress.verified:
        parts.append(f"{progress.verified} verified")
    if progress.failed:
        parts.append(f"{len(progress.failed)} failed")
    return "  ".join(parts)


def _report(found: "Progress", *, dry_run: bool, as_json: bool) -> None:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    if as_json:
        output.json_result(
            {
                "dry_run": dry_run,
                "objects": found.objects,
                "bytes": found.size,
                "copied": found.copied,
                "bytes_copied": found.size_copied,
                "verified": found.verified,
                "failed": [{"key": item.key, "reason": item.reason} for item in found.failed],
            }
        )
    else:
        would = "would copy" if dry_run else "copied"
        output.result(f"{would} {found.copied} of {found.objects} objects, {format_size(found.size_copied)} of blobs")
        for item in found.failed:
            output.result(f"failed: {item.key} {item.reason}")
    if found.failed:
        raise Failure(f"{len(found.failed)} objects could not be copied; the others were")
