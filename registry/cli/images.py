"""`cargohold images`: the images of a registry or a storage, as `docker images` lists those of an engine."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import human, output
from registry.cli.failure import MISUSED, Failure
from registry.cli.gotemplate import Record
from registry.cli.listing import layout
from registry.cli.looking_options import (
    FormatOption,
    JsonOption,
    PlatformOption,
    TruncateOption,
    prefix,
    shown,
)
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.showing import Steps
from registry.cli.target import Opened, PlainHttpOption, TargetOptions, UrlOption, act, parse_image

if TYPE_CHECKING:
    from datetime import datetime

    from registry.browse.filters import Filters
    from registry.browse.images import Images, Shown
    from registry.browse.listing import Row, Wanted
    from registry.content.digest import Digest
    from registry.content.image_references import ImageReference
    from registry.content.names import RepositoryName

_FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        "-f",
        metavar="FILTER",
        help="before=IMAGE, since=IMAGE, label=KEY[=VALUE], reference=PATTERN, dangling=true",
    ),
]
_HEAD = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "Platform": "PLATFORM",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
}


def images(  # noqa: PLR0917  # the command line gives them by name
    image: Annotated[
        str | None,
        typer.Argument(metavar="REPOSITORY[:TAG]", help="One repository or image, or a pattern.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    root: RootOption = None,
    url: UrlOption = None,
    plain_http: PlainHttpOption = False,
    filters: _FilterOption = None,
    form: FormatOption = None,
    no_trunc: TruncateOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only print ids.")] = False,
    digests: Annotated[bool, typer.Option("--digests", help="Show digests, too.")] = False,
    every: Annotated[
        bool, typer.Option("--all", "-a", help="A row for each platform; on a storage also images without a tag.")
    ] = False,
    platform: PlatformOption = None,
    as_json: JsonOption = False,
) -> None:
    """List images, the newest first: those of a running registry, or straight those of a storage.

    IMAGE ID is what docker calls the image once it is pulled, the digest of its config. SIZE is what the layers take in
    the registry: compressed, so less than docker shows after a pull. An image for several platforms is one row, that of
    the image which docker would pull here; see --platform and --all.

    \b
    Examples:
      cargohold images --root /srv/registry
      cargohold images registry.example.com/team/app
      cargohold images --url 127.0.0.1:5000 --filter label=stage=prod --digests
      cargohold images --url registry.example.com 'team/*:v1.*'
      cargohold images team/app --format '{{.Repository}}@{{.Digest}} {{.Size}}'

    \b
    Fields of a template: .Repository .Tag .Digest .ID .Platform .CreatedSince .CreatedAt .Size
    """
    look = layout(form or ("{{.ID}}" if quiet else None), _columns(digests=digests, platforms=every), _HEAD)
    named, texts = _named(image)
    chosen = _filters([*(filters or []), *texts])
    compared = {text: parse_image(text) for text in (*chosen.before, *chosen.since)}
    choice = shown(platform)

    async def work(opened: Opened) -> "tuple[str, Sequence[Row]]":
        return prefix(opened), await _rows(opened, named, chosen, compared, choice, every=every)

    host, rows = act(TargetOptions(config, root, url, plain_http, looks=True), [*named, *compared.values()], work)
    for note in (note for row in rows for note in row.notes):
        output.note(note)
    if as_json:
        output.json_result([_plain(host, row) for row in rows])
        return
    look.show([_record(host, row, time.time(), whole=no_trunc) for row in rows])


def _columns(*, digests: bool, platforms: bool) -> str:
    columns = ["Repository", "Tag", *(["Digest"] if digests else []), "ID"]
    columns += [*(["Platform"] if platforms else []), "CreatedSince", "Size"]
    return "\t".join(f"{{{{.{column}}}}}" for column in columns)


def _named(text: str | None) -> "tuple[list[ImageReference], list[str]]":
    """The image that was named, or the filter that a pattern stands for."""
    from registry.browse.filters import is_pattern  # noqa: PLC0415  # start-up time

    if text is not None and is_pattern(text):
        return [], [f"reference={text}"]
    return ([parse_image(text)] if text is not None else []), []


def _filters(texts: list[str]) -> "Filters":
    from registry.browse.filters import parse_filters  # noqa: PLC0415  # start-up time
    from registry.cleanup.filters import FilterInvalid  # noqa: PLC0415

    try:
        return parse_filters(texts)
    except FilterInvalid as error:
        raise Failure(f"--filter {error}", MISUSED) from error


async def _rows(
    opened: Opened,
    named: "Sequence[ImageReference]",
    filters: "Filters",
    compared: "dict[str, ImageReference]",
    choice: "Shown",
    *,
    every: bool,
) -> "Sequence[Row]":
    from registry.browse.images import Images  # noqa: PLC0415  # start-up time
    from registry.browse.listing import Listing, newest_first  # noqa: PLC0415
    from registry.content.errors import ManifestUnknown, NameUnknown  # noqa: PLC0415

    reader = Images(opened.place, choice)
    wanted = await _wanted(opened, reader, filters, compared, every=every)
    listing = Listing(opened.place, reader, wanted)
    found: list[Row] = []
    steps = Steps()
    try:
        if named and (named[0].tag or named[0].digest):
            return newest_first(await listing.of_image(named[0].name, named[0].reference))
        async for rows in listing.of_repository(named[0].name) if named else listing.of_repositories():
            found += rows
            steps(f"{len(found)} images")
    except (NameUnknown, ManifestUnknown) as error:
        output.note(error.message)
    steps.end()
    return newest_first(found)


async def _wanted(
    opened: Opened, reader: "Images", filters: "Filters", compared: "dict[str, ImageReference]", *, every: bool
) -> "Wanted":
    from registry.browse.dangling import dangling  # noqa: PLC0415  # start-up time
    from registry.browse.listing import Wanted  # noqa: PLC0415

    async def created(text: str) -> "datetime":
        found = (await reader.open(compared[text].name, compared[text].reference)).created
        if found is None:
            raise Failure(f"{text} does not say when it was created, so nothing can be compared with it")
        return found

    backend = opened.backend

    async def untagged(name: "RepositoryName") -> "Sequence[Digest]":
        return await dangling(backend, name) if backend is not None else ()

    if filters.dangling and backend is None:
        raise Failure("a registry tells of images with tags alone: look for dangling ones with --root", MISUSED)
    shows_untagged = backend is not None and filters.dangling is not False and (every or filters.dangling)
    return Wanted(
        filters,
        min([await created(text) for text in filters.before], default=None),
        max([await created(text) for text in filters.since], default=None),
        every_platform=every,
        host=prefix(opened),
        untagged=untagged if shows_untagged else None,
    )


def _record(host: str, row: "Row", now: float, *, whole: bool) -> Record:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    return Record(
        Repository=f"{host}{row.repository}",
        Tag=str(row.tag or "<none>"),
        Digest=str(row.digest),
        ID=str(row.id) if whole else human.short_id(str(row.id)),
        Platform=row.platform or "<none>",
        CreatedSince=human.ago(row.created, now),
        CreatedAt=human.at(row.created),
        Size=format_size(row.size),
    )


def _plain(host: str, row: "Row") -> dict[str, object]:
    return {
        "repository": f"{host}{row.repository}",
        "tag": row.tag,
        "digest": str(row.digest),
        "id": str(row.id),
        "platform": row.platform or None,
        "created": human.rfc3339(row.created) or None,
        "size": row.size,
    }
