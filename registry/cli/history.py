"""`cargohold history`: how an image came about, as `docker history` has it."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import human, output
from registry.cli.gotemplate import Record
from registry.cli.listing import layout
from registry.cli.looking_options import FormatOption, JsonOption, PlatformOption, TruncateOption, shown
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.target import Opened, PlainHttpOption, TargetOptions, UrlOption, act, parse_image

if TYPE_CHECKING:
    from registry.browse.history import Made
    from registry.browse.images import Image

_HEAD = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
    "Layer": "LAYER",
}
_COLUMNS = "{{{{.ID}}}}\t{{{{.{created}}}}}\t{{{{.CreatedBy}}}}\t{{{{.Size}}}}\t{{{{.Comment}}}}"
_CREATED_BY = 45
"""So much of a command docker shows."""


def history(  # noqa: PLR0917  # the command line gives them by name
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="[HOST/]REPOSITORY[:TAG][@DIGEST]")],
    config: ConfigOption = None,
    root: RootOption = None,
    url: UrlOption = None,
    plain_http: PlainHttpOption = False,
    form: FormatOption = None,
    for_people: Annotated[bool, typer.Option("--human/--no-human", "-H", help="Sizes and times for people.")] = True,
    no_trunc: TruncateOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only print ids.")] = False,
    platform: PlatformOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how an image came about, the newest step first, with the size of the layer that each step has made.

    SIZE is what the layer takes in the registry: compressed. As after a pull, the id of the last step alone is known.

    \b
    Examples:
      cargohold history --root /srv/registry team/app:1.0
      cargohold history registry.example.com/team/app:1.0 --no-trunc
      cargohold history team/app --format '{{.Layer}} {{.CreatedBy}}'

    \b
    Fields of a template: .ID .CreatedSince .CreatedAt .CreatedBy .Size .Comment .Layer
    """
    columns = _COLUMNS.format(created="CreatedSince" if for_people else "CreatedAt")
    look = layout("{{.ID}}" if quiet and form is None else form, columns, _HEAD)
    named = parse_image(image)
    choice = shown(platform)

    async def work(opened: Opened) -> "Image":
        from registry.browse.images import Images  # noqa: PLC0415  # start-up time

        return await Images(opened.place, choice).open(named.name, named.reference)

    found = act(TargetOptions(config, root, url, plain_http, looks=True), [named], work)
    from registry.browse.history import history as steps_of  # noqa: PLC0415  # start-up time

    for note in found.notes:
        output.note(note)
    steps = steps_of(found)
    if as_json:
        output.json_result([_plain(step) for step in steps])
        return
    now = time.time()
    look.show([_record(step, now, whole=no_trunc, for_people=for_people) for step in steps])


def _record(step: "Made", now: float, *, whole: bool, for_people: bool) -> Record:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    created_by = step.created_by.replace("\t", " ")
    image = str(step.image) if step.image else "<missing>"
    return Record(
        ID=image if whole or step.image is None else human.short_id(image),
        CreatedSince=human.ago(step.created, now),
        CreatedAt=human.rfc3339(step.created),
        CreatedBy=created_by if whole else human.shortened(created_by, _CREATED_BY),
        Size=format_size(step.size) if for_people else str(step.size),
        Comment=step.comment,
        Layer=str(step.layer or ""),
    )


def _plain(step: "Made") -> dict[str, object]:
    return {
        "id": str(step.image) if step.image else None,
        "created": human.rfc3339(step.created) or None,
        "created_by": step.created_by,
        "size": step.size,
        "comment": step.comment,
        "layer": str(step.layer) if step.layer else None,
    }
