"""`cargohold inspect`: what a registry knows of an image, in the shape of `docker inspect`."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.failure import MISUSED, Failure
from registry.cli.gotemplate import NilList, NilMap, Record, Template, TemplateFailed, TemplateInvalid
from registry.cli.listing import template
from registry.cli.looking_options import PlatformOption, prefix, shown
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.showing import Steps
from registry.cli.target import Opened, PlainHttpOption, TargetOptions, UrlOption, act, parse_image

if TYPE_CHECKING:
    from registry.browse.images import Image, Shown
    from registry.content.image_references import ImageReference
    from registry.content.names import Tag
    from registry.content.places import Source

_MAY_LACK = [
    "Hostname",
    "Domainname",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Image",
    "ExposedPorts",
    "Healthcheck",
    "ArgsEscaped",
    "NetworkDisabled",
    "MacAddress",
    "StopSignal",
    "StopTimeout",
    "Shell",
]
"""Members of docker's `Config` that an image need not have."""


_NIL: Mapping[str, type[NilMap] | type[NilList]] = {
    "Env": NilList,
    "Cmd": NilList,
    "Entrypoint": NilList,
    "OnBuild": NilList,
    "Labels": NilMap,
    "Volumes": NilMap,
}
"""What a template sees of members that an image leaves out, as docker's does."""


def inspect(  # noqa: PLR0917  # the command line gives them by name
    images: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="[HOST/]REPOSITORY[:TAG][@DIGEST]")],
    config: ConfigOption = None,
    root: RootOption = None,
    url: UrlOption = None,
    plain_http: PlainHttpOption = False,
    form: Annotated[
        str | None,
        typer.Option("--format", "-f", metavar="FORMAT", help="`json` or a Go template.", show_default=False),
    ] = None,
    platform: PlatformOption = None,
) -> None:
    """Show all that a registry knows of images: JSON in the shape of `docker inspect`.

    What an engine alone knows is not there (Parent, GraphDriver, …). Beyond docker's members: Descriptor and Layers
    with digests and compressed sizes, Annotations, ArtifactType, Subject, and of an image for several platforms
    Manifests.

    \b
    Examples:
      cargohold inspect --root /srv/registry team/app:1.0
      cargohold inspect registry.example.com/team/app --format '{{json .Config.Labels}}'
      cargohold inspect team/app:1.0 --format '{{range .Layers}}{{println .digest .size}}{{end}}'
      cargohold inspect team/app@sha256:… --platform linux/arm64
    """
    from registry.browse.inspecting import FIELDS  # noqa: PLC0415  # start-up time

    made = template("--format", "{{json .}}" if form == "json" else form, FIELDS) if form else None
    named = [parse_image(text) for text in images]
    choice = shown(platform)

    async def work(opened: Opened) -> list[Record | Failure]:
        return [await _inspected(opened, each, choice) for each in named]

    found = act(TargetOptions(config, root, url, plain_http, looks=True), named, work)
    values = [each for each in found if isinstance(each, Record)]
    if made is None:
        output.result(json.dumps(values, indent=4, ensure_ascii=False))
    else:
        for value in values:
            output.result(_filled(made, value) + "\n")
    wrong = [str(each) for each in found if isinstance(each, Failure)]
    if wrong:
        raise Failure("\n".join(wrong))


async def _inspected(opened: Opened, named: "ImageReference", choice: "Shown") -> Record | Failure:
    from registry.browse.images import Images  # noqa: PLC0415  # start-up time
    from registry.browse.inspecting import inspected  # noqa: PLC0415
    from registry.content.errors import ManifestUnknown  # noqa: PLC0415

    try:
        image = await Images(opened.place, choice).open(named.name, named.reference)
    except ManifestUnknown as error:
        return Failure(error.message)
    for note in image.notes:
        output.note(note)
    return _record(inspected(image, f"{prefix(opened)}{named.name}", await _tags(opened.place, image)))


async def _tags(place: "Source", image: "Image") -> "Sequence[Tag]":
    """All tags of the repository that name the image."""
    from registry.browse.side_by_side import in_order  # noqa: PLC0415  # start-up time
    from registry.content.errors import ManifestUnknown  # noqa: PLC0415

    async def naming(tag: "Tag") -> "Tag | None":
        try:
            return tag if await place.resolve(image.repository, tag) == image.digest else None
        except ManifestUnknown:
            return None  # gone meanwhile

    steps = Steps()
    found = []
    seen = 0
    async for tag in in_order(naming, place.tags(image.repository)):
        found += [tag] if tag is not None else []
        seen += 1
        steps(f"{seen} tags of {image.repository} looked at")
    steps.end()
    return found


def _record(members: Mapping[str, object]) -> Record:
    """The members as a template sees them: a mistake in a name is one, a label that is not there is none."""
    found = Record(members)
    for name in ("Config", "RootFS", "Descriptor", "Subject"):
        value = found[name]
        if isinstance(value, Mapping):
            found[name] = inner = Record(value)
            inner.may_lack = _MAY_LACK
    layers = found["Layers"]
    found["Layers"] = [Record(layer) for layer in layers] if isinstance(layers, list) else layers
    return found


def _filled(made: Template, value: Record) -> str:
    config = value["Config"]
    if isinstance(config, Record):
        config.update({name: nil() for name, nil in _NIL.items() if config.get(name) is None})
    try:
        return made.render(value)
    except TemplateInvalid as error:
        raise Failure(f"--format: {error}", MISUSED) from error
    except TemplateFailed as error:
        raise Failure(f"--format: {error}") from error
