"""`cargohold reindex`: rebuild what can be rebuilt, from the manifests."""

from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.failure import Failure
from registry.cli.gc import settings_of_storage
from registry.cli.settings_options import ConfigOption, RootOption
from registry.ops.stopping import run_until_stopped

if TYPE_CHECKING:
    from config.settings import Settings
    from registry.content.reindex import Reindexed


def reindex(
    root: RootOption = None,
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Rebuild the lists of referrers from the manifests.

    For a directory that registry:2 or registry:3 wrote: signatures and SBOMs that it holds are found then. It may run
    while servers serve the directory.

    \b
    Examples:
      cargohold reindex --root /var/lib/registry --dry-run
      cargohold reindex --config cargohold.yml --json
    """
    settings = settings_of_storage(config, root)
    found = run_until_stopped(_reindex(settings, dry_run))
    if as_json:
        rows = [{"name": item.name, "referrers": item.referrers, "removed": item.removed} for item in found]
        output.json_result({"dry_run": dry_run, "repositories": rows})
        return
    for item in found:
        if item.referrers or item.removed:
            output.result(f"{item.name}: {item.referrers} referrers, {item.removed} stale entries removed")
    total, removed = sum(item.referrers for item in found), sum(item.removed for item in found)
    would = "nothing was changed; would have: " if dry_run else ""
    output.result(f"{would}{len(found)} repositories, {total} referrers indexed, {removed} stale entries removed")


async def _reindex(settings: "Settings", dry_run: bool) -> "list[Reindexed]":
    from registry.app_storage import build_backend  # noqa: PLC0415  # start-up time
    from registry.content.reindex import reindex as rebuild  # noqa: PLC0415
    from storage_backends.errors import StorageError  # noqa: PLC0415

    try:
        return [item async for item in rebuild(build_backend(settings), dry_run=dry_run)]
    except StorageError as error:
        raise Failure(f"the storage failed: {error}") from error
