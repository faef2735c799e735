"""`cargohold scrub`: read everything again, and take away what is damaged."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.failure import INTERRUPTED, MISUSED, Failure
from registry.cli.gc import settings_of_storage
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.showing import shown
from registry.cli.target import PlainHttpOption, TargetOptions, place_at, told, whole_prefix
from registry.ops.stopping import run_until_stopped

if TYPE_CHECKING:
    from config.settings import Settings
    from registry.cleanup.mend import Holder
    from registry.cleanup.scrub import Damage, Options, Scrubbed

_RateOption = Annotated[
    str,
    typer.Option(
        "--rate",
        metavar="SIZE/s",
        help="Read so much a second at most, such as 50MB/s; 0 is as fast as it goes.",
        show_default="cleanup.scrub_bytes_per_second",
    ),
]
_FromOption = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="PLACE",
        help="Mend with what this has: a registry (HOST[:PORT], a URL, a name from `upstreams`), or oci:PATH.",
    ),
]


def scrub(  # noqa: PLR0917  # the command line gives them by name
    config: ConfigOption = None,
    root: RootOption = None,
    rate: _RateOption = "",
    repository: Annotated[
        list[str] | None,
        typer.Option("--repository", metavar="GLOB", help="Only what these have, such as team/**; may be repeated."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin at the beginning, wherever the last one was stopped.")
    ] = False,
    source: _FromOption = "",
    prefix: Annotated[
        str,
        typer.Option(
            "--prefix",
            metavar="NAME",
            callback=whole_prefix,
            help="What is NAME/team/app here is team/app in that place.",
        ),
    ] = "",
    plain_http: PlainHttpOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is damaged; change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Read all blobs and manifests again, and compare them with their digests.

    What is damaged is moved into quarantine, below cargohold/v1/quarantine/, and the images that need it are named: no
    client pulls wrong bytes, and whoever pushes such an image again mends it; so does --from, with what a registry, an
    OCI image layout or a bundle has. Servers may run and clients may push meanwhile. Stopped in the middle, the next
    run goes on from there.

    \b
    Examples:
      cargohold scrub --dry-run
      cargohold scrub --root /srv/registry --rate 20MB/s
      cargohold scrub --repository 'team/**' --json
      cargohold scrub --from registry.example.com
      cargohold scrub --from docker.io --prefix hub
      cargohold scrub --from oci:bundle.tar

    Exit code 1 if something is damaged and not mended, or another scrub is running.
    """
    from registry.app_cleanup import scrub_options  # noqa: PLC0415  # start-up time

    settings = settings_of_storage(config, root)
    options = replace(scrub_options(settings), repositories=_patterns(repository or []), anew=restart, dry_run=dry_run)
    if rate:
        options = replace(options, rate=_rate(rate))
    lost = _Lost(source, prefix, TargetOptions(config, plain_http=plain_http))
    scrubbed = _run(settings, options, lost, quiet=quiet)
    if as_json:
        found = [{**asdict(damage), "digest": str(damage.digest)} for damage in scrubbed.damaged]
        output.json_result({"dry_run": dry_run, **asdict(scrubbed), "damaged": found})
    else:
        _report(scrubbed)
    hurting = sum(damage.hurts for damage in scrubbed.damaged)
    if hurting:
        raise Failure(f"{hurting} damaged blobs are not mended: push the images that they belong to again")


@dataclass(frozen=True, slots=True)
class _Lost:
    """Where lost bytes may be."""

    place: str
    prefix: str
    options: TargetOptions

    @asynccontextmanager
    async def open(self) -> "AsyncIterator[Holder | None]":
        from registry.mirror.layout_files import AS_PLACE, open_layout  # noqa: PLC0415  # start-up time
        from registry.mirror.lost_bytes import LostBytes  # noqa: PLC0415
        from registry.mirror.oci_layout import OciLayout  # noqa: PLC0415

        if not self.place:
            yield None
        elif self.place.startswith(AS_PLACE):
            path = Path(self.place.removeprefix(AS_PLACE))
            try:
                files = open_layout(path)
            except OSError as error:
                raise Failure(f"--from: {path} cannot be read: {error.strerror}", MISUSED) from error
            with closing(files):
                yield LostBytes(OciLayout(files), self.prefix)
        else:
            async with place_at(self.options, self.place) as opened:
                yield LostBytes(opened.place, self.prefix)


def _run(settings: "Settings", options: "Options", lost: _Lost, *, quiet: bool) -> "Scrubbed":
    from registry.cleanup.scrub_turn import ScrubBusy, TurnLost  # noqa: PLC0415  # start-up time
    from storage_backends.errors import StorageError  # noqa: PLC0415

    with told():
        try:
            return run_until_stopped(_scrub(settings, options, lost, quiet=quiet))
        except KeyboardInterrupt:
            raise Failure("stopped; run it again to go on from there", INTERRUPTED) from None
        except ScrubBusy as error:
            raise Failure(
                f"{error}; if that one is dead, another may begin {options.lease:.0f} s after its last sign"
            ) from error
        except TurnLost as error:
            raise Failure(f"stopped: {error}") from error
        except StorageError as error:
            raise Failure(f"the storage failed: {error}. Run it again to go on from there") from error


async def _scrub(settings: "Settings", options: "Options", lost: _Lost, *, quiet: bool) -> "Scrubbed":
    from registry.app_cleanup import holder  # noqa: PLC0415  # start-up time
    from registry.app_storage import build_backend  # noqa: PLC0415
    from registry.cleanup.scrub import Scrub  # noqa: PLC0415
    from registry.content.leases import storage_time  # noqa: PLC0415

    backend = build_backend(settings)
    async with lost.open() as found:
        work = Scrub(backend, options, holder(), found)
        async with shown(lambda _: _line(work.scrubbed), quiet=quiet):
            return await work.run(await storage_time(backend))


def _line(scrubbed: "Scrubbed") -> str:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    seen = f"{scrubbed.stage}: {scrubbed.blobs} blobs, {format_size(scrubbed.size)} read"
    return f"{seen}, {len(scrubbed.damaged)} damaged"


def _report(scrubbed: "Scrubbed") -> None:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    for damage in scrubbed.damaged:
        output.result(f"{damage.digest} ({format_size(damage.size)}, {damage.state}): {damage.reason}")
        for image in damage.images or ["no image"]:
            output.result(f"  needed by {image}")
    since = ", those before it was stopped included" if scrubbed.resumed else ""
    output.result(f"Read {scrubbed.blobs} blobs with {format_size(scrubbed.size)}{since}; {_states(scrubbed.damaged)}")


def _states(damaged: "list[Damage]") -> str:
    states = [damage.state for damage in damaged]
    return ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))) or "none is damaged"


def _rate(text: str) -> int:
    from config.units import parse_size  # noqa: PLC0415  # start-up time

    try:
        return parse_size(text.removesuffix("/s"))
    except ValueError as error:
        raise Failure(f"--rate: write how much a second, such as 50MB/s: {error}", MISUSED) from error


def _patterns(texts: list[str]) -> list[str]:
    from auth.errors import ScopeInvalid  # noqa: PLC0415  # start-up time
    from auth.patterns import check_pattern  # noqa: PLC0415

    try:
        return [check_pattern(text) for text in texts]
    except ScopeInvalid as error:
        raise Failure(f"--repository: {error}", MISUSED) from error
