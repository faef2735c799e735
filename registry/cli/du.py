"""`cargohold du`: what takes the space, repository by repository."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.failure import MISUSED, Failure
from registry.cli.gotemplate import Record
from registry.cli.listing import layout
from registry.cli.looking_options import FormatOption, JsonOption
from registry.cli.settings_options import ConfigOption, RootOption, load_settings
from registry.cli.showing import Steps
from registry.cli.target import Opened, PlainHttpOption, TargetOptions, UrlOption, act, parse_image

if TYPE_CHECKING:
    from registry.browse.usage import Space, Usage
    from registry.browse.usage_of_storage import StorageUsage
    from registry.cleanup.gc import Options

_HEAD = {
    "Repository": "REPOSITORY",
    "Tags": "TAGS",
    "Images": "IMAGES",
    "Size": "SIZE",
    "Own": "OWN",
    "Shared": "SHARED",
    "Reclaimable": "RECLAIMABLE",
}
_COLUMNS = "\t".join(f"{{{{.{name}}}}}" for name in _HEAD)


def du(  # noqa: PLR0917  # the command line gives them by name
    repository: Annotated[
        str | None, typer.Argument(metavar="REPOSITORY", help="Show this one alone.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    root: RootOption = None,
    url: UrlOption = None,
    plain_http: PlainHttpOption = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what takes the space: by repository, the largest first, and for what.

    OWN is what only this repository needs, SHARED what others need, too: deleting the repository frees the former.
    RECLAIMABLE is what `cargohold prune` and then `cargohold gc` give back of it. Below that each blob is counted once:
    what images with tags need, what only images without a tag need, and what no image needs any more. A registry shows
    from outside what tags reach, by the sizes that manifests give.

    \b
    Examples:
      cargohold du --root /srv/registry
      cargohold du --config cargohold.yml team/app
      cargohold du --url registry.example.com
      cargohold du --format 'table {{.Repository}}\\t{{.Reclaimable}}'

    \b
    Fields of a template: .Repository .Tags .Images .Size .Own .Shared .Reclaimable
    """
    from registry.app_cleanup import gc_options  # noqa: PLC0415  # start-up time

    look = layout(form, _COLUMNS, _HEAD)
    named = parse_image(repository) if repository else None
    if named is not None and (named.tag or named.digest):
        raise Failure(f"{repository}: write the name of a repository, without a tag", MISUSED)
    options = gc_options(load_settings(config, {"--root": root}))

    async def work(opened: Opened) -> "tuple[Usage, StorageUsage | None]":
        return await _used(opened, options)

    usage, storage = act(
        TargetOptions(config, root, url, plain_http, looks=True, writes=True), [named] if named else [], work
    )
    spaces = sorted(usage.spaces, key=lambda space: (-space.size, space.repository))
    if named is not None:
        spaces = [space for space in spaces if space.repository == named.name]
        if not spaces:
            raise Failure(f"there is no repository {named.name}")
    for note in storage.notes if storage else ():
        output.note(note)
    if as_json:
        output.json_result(_plain(usage, storage, spaces))
        return
    look.show([_record(space, knows_all=storage is not None) for space in spaces])
    if form is None and named is None:
        _sum_up(usage, storage, options)


async def _used(opened: Opened, options: "Options") -> "tuple[Usage, StorageUsage | None]":
    from registry.browse.usage_of_place import PlaceUsage  # noqa: PLC0415  # start-up time
    from registry.browse.usage_of_storage import StorageUsage  # noqa: PLC0415

    storage = StorageUsage(opened.backend, options) if opened.backend is not None else None
    work = storage or PlaceUsage(opened.place)
    steps = Steps()
    async for where in work.run():
        steps(f"{where}: {work.usage.blobs} blobs so far")
    steps.end()
    return work.usage, storage


def _sum_up(usage: "Usage", storage: "StorageUsage | None", options: "Options") -> None:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    total = usage.tagged + usage.untagged + (storage.unneeded if storage else 0)
    blobs = usage.blobs + (storage.unneeded_blobs if storage else 0)
    output.result(f"\n{format_size(total)} in {blobs} blobs, each counted once:")
    rows = [(usage.tagged, "images with tags need it")]
    if storage is not None:
        held = storage.unneeded - storage.collectable
        rows += [
            (usage.untagged, "only images without a tag need it: `cargohold prune`, then `cargohold gc` frees it"),
            (storage.collectable, "no image needs it: `cargohold gc` frees it, or the server's next collection"),
            (held, f"no image needs it, yet it stays: pushed or deleted in the last {options.grace:.0f} s, or in use"),
        ]
    for size, words in rows:
        output.result(f"  {format_size(size):>8}  {words}")
    if storage is None:
        output.note("images without a tag, and what no image needs, cannot be seen from outside: look with --root")


def _record(space: "Space", *, knows_all: bool) -> Record:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    return Record(
        Repository=space.repository,
        Tags=str(space.tags),
        Images=str(space.images),
        Size=format_size(space.size),
        Own=format_size(space.own),
        Shared=format_size(space.shared),
        Reclaimable=format_size(space.reclaimable) if knows_all else "N/A",
    )


def _plain(usage: "Usage", storage: "StorageUsage | None", spaces: "list[Space]") -> dict[str, object]:
    return {
        "repositories": [asdict(space) if storage else {**asdict(space), "reclaimable": None} for space in spaces],
        "blobs": usage.blobs + (storage.unneeded_blobs if storage else 0),
        "tagged": usage.tagged,
        "untagged": usage.untagged if storage else None,
        "collectable": storage.collectable if storage else None,
        "held": storage.unneeded - storage.collectable if storage else None,
    }
