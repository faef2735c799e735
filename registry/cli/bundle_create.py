"""`cargohold bundle create`: put images into a file that crosses the gap."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.bundle_files import check_destination, read_base, told
from registry.cli.copying import failures, line_of
from registry.cli.failure import MISUSED, Failure
from registry.cli.image_list import read_list
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.showing import shown
from registry.cli.target import PlainHttpOption, TargetOptions, parse_image, place_at

if TYPE_CHECKING:
    from registry.mirror.bundle_base import Base
    from registry.mirror.bundle_create import Making, Shape
    from registry.mirror.copy import Options
    from registry.mirror.platforms import Platform
    from registry.mirror.progress import Tally, Wanted


_Images = Annotated[
    list[str] | None,
    typer.Argument(metavar="IMAGE", help="With a host: at that registry. Without: in the storage.", show_default=False),
]
_Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="The bundle to make.", show_default=False)
]
_FromFile = Annotated[
    Path | None,
    typer.Option("--from-file", metavar="FILE", help="Images, one a line, # for comments; - for standard input."),
]
_Since = Annotated[
    list[Path] | None,
    typer.Option("--since", metavar="FILE", help="Leave out what this bundle, or inventory, has. Repeatable."),
]
_Platforms = Annotated[
    list[str] | None,
    typer.Option("--platform", metavar="OS/ARCH", help="Of images for several platforms only these. Repeatable."),
]


def create(  # noqa: PLR0917  # the command line gives them by name
    images: _Images = None,
    destination: _Output = None,
    from_file: _FromFile = None,
    since: _Since = None,
    platforms: _Platforms = None,
    split: Annotated[
        str, typer.Option("--split", metavar="SIZE", help="Make parts FILE.001, … of at most this size, such as 4G.")
    ] = "",
    compress: Annotated[
        str, typer.Option("--compress", metavar="zstd", help="Compress it; layers mostly are already.")
    ] = "",
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY", help="Sign it with this private key (PEM, Ed25519).")
    ] = None,
    referrers: Annotated[
        bool, typer.Option("--referrers/--no-referrers", help="Signatures and whatever else refers to the images.")
    ] = True,
    from_storage: Annotated[
        bool, typer.Option("--from-storage", help="Take all images from the storage, also those with a host.")
    ] = False,
    config: ConfigOption = None,
    root: RootOption = None,
    plain_http: PlainHttpOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Put images into one file. It is an OCI image layout in a tar, with all that they need and that refers to them.

    Stopped in the middle it leaves nothing under the name of the bundle, and the same command goes on from there. An
    image that fails is left out and does not stop the others; the exit code is 1 then.

    \b
    Examples:
      cargohold bundle create docker.io/library/alpine:3.20 quay.io/team/app:1.2 -o out.tar
      cargohold bundle create --root /srv/registry team/app:1.2 -o out.tar --sign bundle.key
      cargohold bundle create --from-file images.txt -o out.tar --since inventory.json --split 4G
      cargohold images --format '{{.Repository}}:{{.Tag}}' | cargohold bundle create --from-file - -o all.tar
    """
    from registry.mirror.copy import Options  # noqa: PLC0415  # start-up time
    from registry.mirror.progress import Tally  # noqa: PLC0415

    if destination is None:
        raise Failure("say how the bundle is to be called: --output FILE", MISUSED)
    check_destination(destination)
    where = TargetOptions(config, root, plain_http=plain_http, writes=True)
    groups = _groups(_listed(images or [], from_file), from_storage=from_storage)
    shape, options = _shape(split, compress), Options(_platforms(platforms or []), referrers=referrers)
    with told():
        bases = [read_base(path) for path in since or []]
        work = _Work(where, groups, shape, options, destination, bases, Tally())
        done = asyncio.run(work.run(sign, quiet=quiet))
    _report(done, destination, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Work:
    """One bundle to make."""

    where: TargetOptions
    groups: "dict[str, list[Wanted]]"
    shape: "Shape"
    options: "Options"
    destination: Path
    bases: "list[tuple[Base, str]]"
    tally: "Tally"

    async def run(self, sign: Path | None, *, quiet: bool) -> "tuple[Making, Tally]":
        """Make it. Raises what `told` tells."""
        from config.units import format_size  # noqa: PLC0415  # start-up time
        from registry.mirror.bundle_base import Several  # noqa: PLC0415
        from registry.mirror.bundle_create import begin, fill  # noqa: PLC0415
        from registry.mirror.bundle_signing import read_private_key  # noqa: PLC0415

        key = None if sign is None else read_private_key(sign)
        base = Several([base for base, _ in self.bases])
        async with AsyncExitStack() as opened:
            places = [
                ((await opened.enter_async_context(place_at(self.where, host))).place, images)
                for host, images in self.groups.items()
            ]
            making = await asyncio.to_thread(
                begin, self.destination, self._request(), self.shape, base, differential=bool(self.bases)
            )
            opened.callback(making.files.close)
            if making.resumed > 1024 and not quiet:
                output.note(f"going on with the {format_size(making.resumed)} that are there already")
            async with shown(line_of(self.tally, sum(map(len, self.groups.values()))), quiet=quiet):
                await fill(making.writer, places, self.options, self.tally.take)
            if self.tally.failed and not self.tally.images_done:
                making.files.discard()
                raise Failure(f"no image could be put into it; the first one: {_reason(self.tally)}")
            created = output.moment(time.time())
            await asyncio.to_thread(making.writer.finish, created, None if key is None else key.sign)
        return making, self.tally

    def _request(self) -> str:
        from registry.mirror.bundle_create import request_of  # noqa: PLC0415  # start-up time

        images = [f"{host} {image} {image.tags}" for host, found in self.groups.items() for image in found]
        return request_of([*images, str(self.shape), str(self.options), *(known for _, known in self.bases)])


def _listed(images: list[str], from_file: Path | None) -> list[str]:
    """All images that are wanted, each once."""
    if from_file is not None:
        images = [*images, *read_list(from_file)]
    if not images:
        raise Failure("name the images to put into the bundle, or a list of them with --from-file", MISUSED)
    return list(dict.fromkeys(images))


def _groups(images: list[str], *, from_storage: bool) -> "dict[str, list[Wanted]]":
    """What is wanted of each place: registries by their host, the storage under the empty name. Raises `Failure`."""
    from registry.content.errors import NameInvalid  # noqa: PLC0415  # start-up time
    from registry.content.names import RepositoryName  # noqa: PLC0415
    from registry.mirror.layout_index import repository_of  # noqa: PLC0415
    from registry.mirror.progress import Wanted  # noqa: PLC0415

    groups: dict[str, list[Wanted]] = {}
    for text in images:
        image = parse_image(text)
        image = image.as_docker() if image.host else image
        tags = (image.tag,) if image.tag else () if image.digest else (image.reference,)
        try:
            target = repository_of(image)
        except NameInvalid as error:
            raise Failure(f"{text}: {error.message}", MISUSED) from error
        host, source = ("", target) if from_storage else (image.host, RepositoryName(image.name))
        groups.setdefault(host, []).append(Wanted(source, image.reference, target, tags))  # type: ignore[arg-type]
    return groups


def _shape(split: str, compress: str) -> "Shape":
    from config.units import parse_size  # noqa: PLC0415  # start-up time
    from registry.mirror.bundle_create import Shape  # noqa: PLC0415

    if compress not in {"", "zstd"}:
        raise Failure(f"--compress {compress}: write --compress zstd", MISUSED)
    try:
        size = parse_size(f"{split}B" if split[-1:].upper() in {"K", "M", "G", "T"} else split) if split else 0
    except ValueError as error:
        raise Failure(f"--split: {error}", MISUSED) from error
    if split and size < 1024 * 1024:
        raise Failure("--split: parts must have 1MiB at least", MISUSED)
    return Shape(size, compress == "zstd")


def _platforms(texts: list[str]) -> "tuple[Platform, ...]":
    from registry.mirror.platforms import Platform, PlatformInvalid  # noqa: PLC0415  # start-up time

    try:
        return tuple(Platform.parse(text) for text in texts)
    except PlatformInvalid as error:
        raise Failure(f"--platform: {error}", MISUSED) from error


def _reason(tally: "Tally") -> str:
    return f"{tally.failed[0].image}: {tally.failed[0].reason}"


def _report(done: "tuple[Making, Tally]", destination: Path, *, as_json: bool) -> None:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    making, tally = done
    unchanged = making.writer.unchanged
    if as_json:
        output.json_result(
            {
                "files": [str(path) for path in making.files.finished],
                "bytes": making.files.tell(),
                "images": tally.images_done - unchanged,
                "unchanged": unchanged,
                "blobs_copied": tally.blobs_copied,
                "bytes_copied": tally.size_copied,
                "failed": failures(tally),
            }
        )
    else:
        left_out = f", {unchanged} unchanged and left out" if unchanged else ""
        output.result(
            f"{destination}: {tally.images_done - unchanged} images, {format_size(making.files.tell())}{left_out}"
        )
        for failed in tally.failed:
            output.result(f"failed: {failed.image}: {failed.reason}")
    if tally.failed:
        others = "; the others are" if tally.images_done > unchanged else ""
        raise Failure(f"{len(tally.failed)} images are not in the bundle{others}")
