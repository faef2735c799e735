"""`cargohold tag`: another name for an image, inside the registry."""

from typing import Annotated

import typer

from registry.cli.failure import MISUSED, Failure
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.target import Opened, PlainHttpOption, TargetOptions, UrlOption, act, parse_image


def tag(  # noqa: PLR0917  # the command line gives them by name
    source: Annotated[str, typer.Argument(metavar="IMAGE", help="[HOST/]REPOSITORY[:TAG][@DIGEST]")],
    target: Annotated[str, typer.Argument(metavar="NAME", help="[HOST/]REPOSITORY[:TAG], in the same place")],
    config: ConfigOption = None,
    root: RootOption = None,
    url: UrlOption = None,
    plain_http: PlainHttpOption = False,
) -> None:
    """Give an image another name, in its repository or in another one of the same registry. A tag that is there moves.

    No layer is moved: the registry makes them part of the other repository. What refers to the image (signatures,
    SBOMs) stays where it is.

    \b
    Examples:
      cargohold tag --root /srv/registry team/app:1.0 team/app:stable
      cargohold tag registry.example.com/team/app:1.0 registry.example.com/prod/app:1.0
      cargohold tag --url registry.example.com team/app@sha256:… team/app:rescued
    """
    old, new = parse_image(source), parse_image(target)
    if new.digest is not None:
        raise Failure(f"{target}: a digest cannot be given to an image, write a tag", MISUSED)

    async def work(opened: Opened) -> None:
        from registry.browse.tagging import retag  # noqa: PLC0415  # start-up time
        from registry.content.image_references import LATEST  # noqa: PLC0415

        await retag(opened.place, old.name, old.reference, new.name, new.tag or LATEST)

    act(TargetOptions(config, root, url, plain_http, looks=True, writes=True), [old, new], work)
