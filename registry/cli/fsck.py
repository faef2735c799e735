"""`cargohold fsck`: find what points to nothing, and repair what can be repaired."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli import output
from registry.cli.failure import Failure
from registry.cli.gc import seconds, settings_of_storage, told
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.showing import shown
from registry.ops.stopping import run_until_stopped

if TYPE_CHECKING:
    from config.settings import Settings
    from registry.cleanup.findings import Finding
    from registry.cleanup.fsck import Checked, Options


def fsck(  # noqa: PLR0917  # the command line gives them by name
    config: ConfigOption = None,
    root: RootOption = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what can be repaired without losing anything.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --repair: only say what would be repaired.")] = False,
    grace: Annotated[
        str,
        typer.Option(
            "--grace",
            metavar="TIME",
            help="What is younger and needed by nothing may belong to a push, such as 1h.",
            show_default="cleanup.grace_seconds",
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Find broken links and tags, images that lack something, files that say nothing; and repair what can be repaired.

    Servers may run and clients may push meanwhile: nothing is said that was not seen twice. A repair writes links again
    that a crash has left empty, restores a tag that can only have named one image, builds indexes again, and removes
    what names nothing. It never removes content. The bytes themselves are looked at by `cargohold scrub`.

    \b
    Examples:
      cargohold fsck
      cargohold fsck --root /srv/registry --repair
      cargohold fsck --json

    Exit code 0 if nothing is wrong, or all was repaired; 1 if something is left. An index that has some of its images,
    as after a copy of chosen platforms, is told of and is not wrong.
    """
    from registry.cleanup.fsck import Options  # noqa: PLC0415  # start-up time

    settings = settings_of_storage(config, root)
    options = Options(
        grace=settings.cleanup.grace_seconds,
        lease=settings.cleanup.lease_seconds,
        sparse=settings.registry.allow_sparse_indexes or not settings.registry.check_references,
        mirrored=[source.prefix for source in settings.mirror.online],
        carried=[source.prefix for source in settings.mirror.sources if source.offline],
        repair=repair and not dry_run,
    )
    if grace:
        options = replace(options, grace=seconds("--grace", grace))
    with told(options.lease):
        checked = run_until_stopped(_check(settings, options, quiet=quiet))
    for note in checked.notes:
        output.note(note)
    if as_json:
        output.json_result(_document(checked))
    else:
        _report(checked)
    wrong = [finding for finding in checked.left if finding.is_wrong]
    if wrong:
        can = sum(finding.repair is not None for finding in wrong)
        hint = f"; {can} of them can be repaired: cargohold fsck --repair" if can and not options.repair else ""
        raise Failure(f"{len(wrong)} findings{hint}")


async def _check(settings: "Settings", options: "Options", *, quiet: bool) -> "Checked":
    from registry.app_cleanup import holder  # noqa: PLC0415  # start-up time
    from registry.app_storage import build_backend  # noqa: PLC0415
    from registry.cleanup.fsck import Fsck  # noqa: PLC0415
    from registry.content.leases import storage_time  # noqa: PLC0415

    backend = build_backend(settings)
    work = Fsck(backend, options, holder(), await storage_time(backend))
    async with shown(lambda _: _line(work.checked), quiet=quiet):
        return await work.run()


def _line(checked: "Checked") -> str:
    seen = f"{checked.stage}: {checked.repositories} repositories, {checked.manifests} manifests"
    return f"{seen}; {len(checked.left)} findings, {len(checked.repaired)} repaired"


def _document(checked: "Checked") -> dict[str, Any]:
    def row(finding: "Finding", *, repaired: bool) -> dict[str, Any]:
        return {**asdict(finding), "repair": finding.repair is not None, "repaired": repaired}

    rows = [row(finding, repaired=True) for finding in checked.repaired]
    rows += [row(finding, repaired=False) for finding in checked.left]
    return {"repositories": checked.repositories, "manifests": checked.manifests, "findings": rows}


def _report(checked: "Checked") -> None:
    for finding in checked.repaired:
        output.result(f"{finding.kind}: {finding.what}\n  at {finding.key}\n  repaired")
    for finding in checked.left:
        lines = [f"{finding.kind}: {finding.what}", f"at {finding.key}", *(f"hits {one}" for one in finding.images)]
        output.result("\n  ".join([*lines, finding.advice]))
    output.result(
        f"Checked {checked.repositories} repositories with {checked.manifests} manifests: "
        f"{len(checked.left)} findings, {len(checked.repaired)} repaired"
    )
