"""`cargohold sync`: bring images from one place to another, again and again, and each time only what is new."""

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.copying import but, line_at
from registry.cli.failure import INTERRUPTED, Failure
from registry.cli.settings_options import ConfigOption, RootOption, load_settings
from registry.cli.showing import shown
from registry.cli.storage_access import check_owner, check_there
from registry.cli.sync_sources import Choice, gather
from registry.cli.target import PlainHttpOption
from registry.ops.stopping import run_until_stopped

if TYPE_CHECKING:
    from config.settings import Settings
    from config.sync import CopySettings
    from registry.app_sync import Wish
    from registry.mirror.progress import Event, Tally
    from registry.mirror.sync import Outcome

FromFileOption = Annotated[
    Path | None,
    typer.Option(
        "--from-file", metavar="FILE", help="Sources, one a line, - for stdin; *.yml: a file of `skopeo sync`."
    ),
]
TagsOption = Annotated[
    list[str] | None, typer.Option("--tag", metavar="PATTERN", help="Only such tags: v1.*, /^v[0-9]+$/. Repeatable.")
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="Not such tags. Repeatable.")
]
SemverOption = Annotated[
    str, typer.Option("--semver", metavar="RANGE", help="Only tags that are versions in it: '>=1.26 <2'.")
]
NewestOption = Annotated[
    int, typer.Option("--newest", metavar="N", min=0, help="Of these only the N highest versions.")
]


def sync(  # noqa: PLR0917  # the command line gives them by name
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE", help="See above. Without one: sync.copies.", show_default=False),
    ] = None,
    to: Annotated[
        str, typer.Option("--to", metavar="TARGET", help="Where to: PREFIX here, or HOST[:PORT]/PREFIX.")
    ] = "",
    from_file: FromFileOption = None,
    tags: TagsOption = None,
    exclude: ExcludeOption = None,
    semver: SemverOption = "",
    newest: NewestOption = 0,
    platforms: Annotated[
        list[str] | None,
        typer.Option("--platform", metavar="OS/ARCH", help="Of images for several platforms only these. Repeatable."),
    ] = None,
    referrers: Annotated[
        bool, typer.Option("--referrers/--no-referrers", help="Signatures and whatever else refers to the images.")
    ] = True,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, max=64, help="On their way at a time.", show_default="sync.jobs")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be brought.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    plain_http: PlainHttpOption = False,
    config: ConfigOption = None,
    root: RootOption = None,
) -> None:
    """Bring images from one place to another. What is there already is left alone; nothing is ever removed.

    SOURCE is HOST[:PORT]/REPOSITORY[:TAG], an image or, without a tag, all of them; with * and ** also of several
    repositories. Without a host it is in the storage. oci:DIRECTORY and oci:FILE.tar are OCI image layouts and bundles.

    An image that fails does not stop the others; the exit code is 1 then.

    \b
    Examples:
      cargohold sync docker.io/library/alpine:3.20 --to mirror
      cargohold sync docker.io/library/debian --semver '>=12' --newest 3 --platform linux/amd64 --to mirror
      cargohold sync 'registry.lan:5000/team/**' --dry-run
      cargohold sync 'team/**' --to registry.example.com/backup
      cargohold sync oci:out.tar --root /srv/registry
      cargohold sync --from-file skopeo.yml --to 'mirror/{base}'
      cargohold sync --config cargohold.yml --json
    """
    from registry.app_sync import Wish  # noqa: PLC0415  # start-up time

    choice = Choice(to, tags or (), exclude or (), semver, newest, platforms or (), referrers)
    settings, copies = gather(load_settings(config, {"--root": root}), sources or (), from_file, choice)
    _check_storage(settings, copies)
    wish = Wish(dry_run, jobs or settings.sync.jobs, plain_http)
    found = _run(settings, copies, wish, quiet=quiet)
    _report(found, dry_run=dry_run, as_json=as_json)


def _check_storage(settings: "Settings", copies: "list[CopySettings]") -> None:
    """Where our storage is a source, it has to be there; a server must be able to write where this has made
    directories, be it to list the referrers of a source. Raises `Failure`.
    """
    from registry.app_sync import STORAGE, target_of  # noqa: PLC0415  # start-up time

    if any(copy.source == STORAGE for copy in copies):
        check_there(settings)
    if any(copy.source == STORAGE or not target_of(copy.target)[0] for copy in copies):
        check_owner(settings)


@dataclass(slots=True)
class _Found:
    """What a run has done so far; `seconds` that it took."""

    tally: "Tally"
    outcomes: "list[Outcome]" = field(default_factory=list)
    seconds: float = 0.0

    def count(self) -> Counter[str]:
        """How many images there are of each status."""
        return Counter(outcome.status for outcome in self.outcomes)

    def size(self) -> int:
        """Bytes that were copied."""
        return sum(outcome.size for outcome in self.outcomes)


def _run(settings: "Settings", copies: "list[CopySettings]", wish: "Wish", *, quiet: bool) -> _Found:
    from registry.app_sync import synchronise  # noqa: PLC0415  # start-up time
    from registry.mirror.progress import ImageDone, ImageFailed, Tally  # noqa: PLC0415
    from storage_backends.errors import StorageError  # noqa: PLC0415

    found = _Found(Tally())

    async def run() -> None:
        async with shown(lambda seconds: _line(found, seconds), quiet=quiet):
            await synchronise(settings, copies, wish, found.outcomes.append, take)

    def take(event: "Event") -> None:
        if not isinstance(event, ImageDone | ImageFailed):  # of these the outcomes tell
            found.tally.take(event)

    began = time.monotonic()
    try:
        run_until_stopped(run())
    except KeyboardInterrupt:
        raise Failure("stopped; run it again to go on from there", INTERRUPTED) from None
    except StorageError as error:
        raise Failure(f"the storage failed: {error}. What was brought stays; run it again to go on") from error
    found.seconds = time.monotonic() - began
    return found


def _line(found: _Found, seconds: float) -> str:
    done = len(found.outcomes)
    return line_at(found.tally, seconds, done, max(found.tally.images, done), found.count()["failed"])


def _report(found: _Found, *, dry_run: bool, as_json: bool) -> None:
    count = found.count()
    failed, brought = count["failed"], count["copied"] + count["tagged"]
    if as_json:
        output.json_result(_document(found, dry_run=dry_run))
    else:
        _print(found, dry_run=dry_run)
    if failed:
        raise Failure(f"{failed} images, or lists of them, failed{but(brought, 'brought', would=dry_run)}")


def _document(found: _Found, *, dry_run: bool) -> dict[str, object]:
    count = found.count()
    return {
        "dry_run": dry_run,
        "seconds": round(found.seconds, 3),
        "bytes": found.size(),
        **{status: count[status] for status in ("copied", "tagged", "unchanged", "failed")},
        "images": [
            {
                "source": outcome.source,
                "target": outcome.target,
                "tags": list(outcome.tags),
                "digest": str(outcome.digest) if outcome.digest else None,
                "status": outcome.status,
                "bytes": outcome.size,
                "error": outcome.error or None,
            }
            for outcome in found.outcomes
        ],
    }


def _print(found: _Found, *, dry_run: bool) -> None:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    would = {"copied": "would copy", "tagged": "would tag"} if dry_run else {}
    for outcome in found.outcomes:
        name = outcome.source + (f":{','.join(outcome.tags)}" if outcome.tags else "")
        if outcome.status == "failed":
            output.result(f"failed: {name}: {outcome.error}")
        elif outcome.status != "unchanged":
            size = f" ({format_size(outcome.size)})" if outcome.size else ""
            digest = f"@{outcome.digest}" if not outcome.tags else ""
            output.result(f"{would.get(outcome.status, outcome.status)} {name}{digest} to {outcome.target}{size}")
    count = found.count()
    output.result(
        f"{would.get('copied', 'copied')} {count['copied']} images with {format_size(found.size())}, "
        f"{would.get('tagged', 'tagged')} {count['tagged']}, {count['unchanged']} unchanged, {count['failed']} failed"
    )
