"""`cargohold bundle …`: files that carry images across a gap. Here are the commands that make and load none."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.bundle_create import create
from registry.cli.bundle_files import FileArgument, KeyOption, check_destination, open_checked, told
from registry.cli.bundle_load import load
from registry.cli.failure import Failure
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.showing import bar, shown
from registry.cli.target import Opened, PlainHttpOption, TargetOptions, UrlOption, act, whole_prefix

if TYPE_CHECKING:
    from registry.mirror.bundle_reader import Contents, Verified

app = typer.Typer(
    help="Carry images across an air gap: one file out, one back that says what is there.", no_args_is_help=True
)
app.command()(create)
app.command()(load)


@app.command()
def ls(
    file: FileArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the images of a bundle. Only their manifests are read.

    MISSING counts the blobs that a differential bundle leaves out, since the other side has them.

    \b
    Examples:
      cargohold bundle ls out.tar
      cargohold bundle ls out.tar.001 --json
    """
    from config.units import format_size  # noqa: PLC0415  # start-up time
    from registry.mirror.bundle_reader import contents  # noqa: PLC0415

    with told(), open_checked(file, None) as bundle:
        found = list(contents(bundle))
    if as_json:
        output.json_result([_row(each) for each in found])
        return
    rows = [
        (str(each.image), str(each.image.descriptor.digest), format_size(each.size), str(len(each.missing)))
        for each in found
    ]
    output.table(("IMAGE", "DIGEST", "SIZE", "MISSING"), rows)


@app.command()
def verify(
    file: FileArgument,
    key: KeyOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Compare everything in a bundle with its digest. It is read whole, and nothing is changed.

    \b
    Examples:
      cargohold bundle verify out.tar
      cargohold bundle verify out.tar --key bundle.pub
    """
    from config.units import format_size  # noqa: PLC0415  # start-up time
    from registry.mirror.bundle_reader import Verified, contents  # noqa: PLC0415
    from registry.mirror.bundle_reader import verify as verify_blobs  # noqa: PLC0415
    from registry.mirror.layout_files import blob_name  # noqa: PLC0415

    verified = Verified()

    async def work() -> None:
        async with shown(lambda seconds: _line(verified, seconds), quiet=quiet):
            await verify_blobs(bundle, verified)

    with told(), open_checked(file, key) as bundle:
        images = list(contents(bundle))
        asyncio.run(work())
    missing = {digest for each in images for digest in each.missing}
    lacking = [] if bundle.differential else [blob_name(digest) for digest in sorted(missing)]
    if as_json:
        output.json_result(
            {
                "images": len(images),
                "blobs": verified.blobs,
                "bytes": verified.size,
                "missing": sorted(map(str, missing)),
                "signed": key is not None,
                "damaged": [*verified.damaged, *lacking],
            }
        )
    elif not verified.damaged and not lacking:
        left_out = f"; the other side must have {len(missing)} more" if missing else ""
        signed = ", signed by the key" if key else ""
        what = f"{len(images)} images, {verified.blobs} blobs, {format_size(verified.size)}"
        output.result(f"{file} is whole{signed}: {what}{left_out}")
    if verified.damaged:
        raise Failure(f"{file} is damaged: {', '.join(verified.damaged[:20])} has other bytes than its name says")
    if lacking:
        raise Failure(f"{file} is not whole: {', '.join(lacking[:20])} is missing")


@app.command()
def inventory(  # noqa: PLR0917  # the command line gives them by name
    destination: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write.", show_default="stdout")
    ] = None,
    prefix: Annotated[
        str,
        typer.Option(
            "--prefix",
            metavar="PREFIX",
            callback=whole_prefix,
            help="Leave this out of names, as `load` put it in: mirror/ or mirror.",
        ),
    ] = "",
    config: ConfigOption = None,
    root: RootOption = None,
    url: UrlOption = None,
    plain_http: PlainHttpOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Write down what is here. Carried back, it tells the next `bundle create --since` what to leave out.

    A few KiB for a thousand images: layers and manifests as hashes, no names.

    \b
    Examples:
      cargohold bundle inventory --root /srv/registry -o inventory.json
      cargohold bundle inventory --config cargohold.yml --prefix mirror/ > inventory.json
    """
    from registry.mirror.bundle_base import dump_inventory  # noqa: PLC0415  # start-up time
    from registry.mirror.whole_files import write_whole  # noqa: PLC0415

    async def take(opened: Opened) -> bytes:
        from registry.mirror.bundle_inventory import InventoryTaker  # noqa: PLC0415  # start-up time

        taker = InventoryTaker(opened.place, opened.place, prefix)
        async with shown(lambda _: f"{taker.images} images", quiet=quiet):
            async for _ in taker.run():
                pass
        return dump_inventory(output.moment(time.time()), taker.hashes)

    if destination is not None:
        check_destination(destination)
    with told():
        data = act(TargetOptions(config, root, url, plain_http, writes=True), [], take)
        if destination is not None:
            write_whole(destination, data)
            return
    output.result(data.decode())


@app.command()
def keygen(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="Where to write NAME.key and NAME.pub.")],
) -> None:
    """Make a pair of keys. NAME.key signs bundles and stays on the open side, NAME.pub verifies them on the closed one.

    \b
    Example:
      cargohold bundle keygen bundle
    """
    from registry.mirror.bundle_signing import new_key  # noqa: PLC0415  # start-up time
    from registry.mirror.whole_files import write_whole  # noqa: PLC0415

    private, public = (name.with_name(f"{name.name}.{kind}") for kind in ("key", "pub"))
    for path in (private, public):
        if path.exists():
            raise Failure(f"{path} is there already; choose another name, for bundles that it signed need it")
    with told():
        for path, data, mode in zip((private, public), new_key(), (0o600, 0o644), strict=True):
            write_whole(path, data, mode)
    output.result(f"{private}\n{public}")


def _row(each: "Contents") -> dict[str, object]:
    return {
        "image": str(each.image),
        "digest": str(each.image.descriptor.digest),
        "bytes": each.size,
        "blobs": each.blobs,
        "missing": [str(digest) for digest in each.missing],
    }


def _line(verified: "Verified", seconds: float) -> str:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    rate = f"  {format_size(int(verified.size_done / seconds))}/s" if seconds else ""
    sizes = f"{format_size(verified.size_done)}/{format_size(verified.size)}"
    return "  ".join(
        [*bar(verified.size_done, verified.size), f"{verified.blobs_done}/{verified.blobs} blobs", sizes + rate]
    )
