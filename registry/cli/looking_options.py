"""Options that the commands for looking around share, and what several of them do with an image's name."""

import platform as machine
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli.failure import MISUSED, Failure

if TYPE_CHECKING:
    from registry.browse.images import Shown
    from registry.cli.target import Opened

FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="`table`, `table TEMPLATE`, `json` (a line each) or a Go template, as with docker.",
        show_default=False,
    ),
]
TruncateOption = Annotated[bool, typer.Option("--no-trunc", help="Show ids and texts whole.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON: sizes in bytes, times of RFC 3339.")]
PlatformOption = Annotated[
    str | None,
    typer.Option(
        "--platform",
        metavar="OS/ARCH",
        help="Of an image for several platforms show that for this one.",
        show_default="this machine's, else the first",
    ),
]
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i386": "386", "i686": "386"}


def shown(platform: str | None) -> "Shown":
    """Which image of an index to show. Raises `Failure`."""
    from registry.browse.images import Shown  # noqa: PLC0415  # start-up time
    from registry.mirror.platforms import Platform, PlatformInvalid  # noqa: PLC0415

    if platform is None:
        name = machine.machine().lower()
        return Shown(Platform("linux", _ARCHITECTURES.get(name, name)))
    try:
        return Shown(Platform.parse(platform), wanted=True)
    except PlatformInvalid as error:
        raise Failure(f"--platform: {error}", MISUSED) from error


def prefix(opened: "Opened") -> str:
    """What stands in front of a repository, so that other commands find it: `HOST/`, nothing on a storage."""
    return f"{opened.host}/" if opened.host else ""
