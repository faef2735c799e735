"""`cargohold referrers`: what refers to an image, as a tree."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.looking_options import prefix
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.target import Opened, PlainHttpOption, TargetOptions, UrlOption, act, parse_image

if TYPE_CHECKING:
    from registry.browse.referrers import Node
    from registry.content.digest import Digest


def referrers(  # noqa: PLR0917  # the command line gives them by name
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="[HOST/]REPOSITORY[:TAG][@DIGEST]")],
    config: ConfigOption = None,
    root: RootOption = None,
    url: UrlOption = None,
    plain_http: PlainHttpOption = False,
    artifact_type: Annotated[
        str | None,
        typer.Option("--artifact-type", metavar="TYPE", help="Only these, and what they hang on.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tree as JSON.")] = False,
) -> None:
    """Show what refers to an image: signatures, SBOMs, attestations, and what refers to those.

    Signatures of older cosign, which are tags such as sha256-….sig, are found as well.

    \b
    Examples:
      cargohold referrers --root /srv/registry team/app:1.0
      cargohold referrers registry.example.com/team/app:1.0 --artifact-type application/spdx+json
      cargohold referrers team/app@sha256:… --json
    """
    named = parse_image(image)

    async def work(opened: Opened) -> "tuple[str, Digest, Sequence[Node]]":
        from registry.browse.referrers import Tree  # noqa: PLC0415  # start-up time

        digest = await opened.place.resolve(named.name, named.reference)
        found = await Tree(opened.place, named.name, artifact_type).below(digest)
        return f"{prefix(opened)}{named.name}", digest, found

    name, digest, nodes = act(TargetOptions(config, root, url, plain_http, looks=True, writes=True), [named], work)
    if as_json:
        output.json_result({"image": f"{name}@{digest}", "referrers": [_plain(node) for node in nodes]})
        return
    output.result(f"{name}@{digest}")
    for line in _lines(nodes, ""):
        output.result(line)


def _lines(nodes: "Sequence[Node]", before: str) -> Iterator[str]:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    for place, node in enumerate(nodes, 1):
        found, is_last = node.referrer, place == len(nodes)
        words = [found.artifact_type or found.media_type, str(found.digest), format_size(found.size)]
        words += [f"({node.tag})"] if node.tag else []
        yield before + ("└── " if is_last else "├── ") + output.printable("  ".join(words))
        yield from _lines(node.referrers, before + ("    " if is_last else "│   "))


def _plain(node: "Node") -> dict[str, object]:
    found = node.referrer
    return {
        "digest": str(found.digest),
        "media_type": found.media_type,
        "artifact_type": found.artifact_type,
        "size": found.size,
        "annotations": dict(found.annotations),
        "tag": node.tag,
        "referrers": [_plain(below) for below in node.referrers],
    }
