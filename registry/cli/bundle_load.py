"""`cargohold bundle load`: bring what has crossed the gap into a storage or a registry."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.bundle_files import FileArgument, KeyOption, open_checked, told
from registry.cli.copying import but, failures, line_of
from registry.cli.failure import MISUSED, Failure
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.showing import shown
from registry.cli.target import Opened, PlainHttpOption, TargetOptions, UrlOption, act, whole_prefix

if TYPE_CHECKING:
    from registry.content.names import RepositoryName
    from registry.mirror.bundle_load import Mount
    from registry.mirror.bundle_reader import Bundle
    from registry.mirror.copy import Options
    from registry.mirror.progress import Tally, Wanted


def load(  # noqa: PLR0917  # the command line gives them by name
    file: FileArgument,
    prefix: Annotated[
        str,
        typer.Option(
            "--prefix",
            metavar="PREFIX",
            callback=whole_prefix,
            help="Put this in front of all names: mirror/ (or mirror) makes mirror/team/app.",
        ),
    ] = "",
    key: KeyOption = None,
    unnamed: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="The repository of images that have only a tag in the archive."),
    ] = None,
    config: ConfigOption = None,
    root: RootOption = None,
    url: UrlOption = None,
    plain_http: PlainHttpOption = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Blobs on their way at a time.")] = 4,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be loaded.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Load the images of a bundle. Any OCI image layout in a tar will do; a server may run on the storage meanwhile.

    What is there already is left alone, and a load that was stopped goes on from there when it is run again. An image
    is visible when it is whole, and not before all blobs of the bundle have been compared with their digests: a
    damaged bundle changes nothing. The exit code is 1 if any image could not be loaded.

    \b
    Examples:
      cargohold bundle load out.tar --root /srv/registry
      cargohold bundle load out.tar --config cargohold.yml --prefix mirror/ --key bundle.pub
      cargohold bundle load out.tar.001 --url registry.example --json
      cargohold bundle load from-skopeo.tar --as team/app
    """
    from registry.mirror.copy import Options  # noqa: PLC0415  # start-up time

    options = Options(referrers=False, sparse=True, jobs=jobs, dry_run=dry_run)
    with told(), open_checked(file, key, _name(unnamed)) as bundle:
        images = _wanted(bundle, prefix)
        where = TargetOptions(config, root, url, plain_http, sparse=True, writes=True)
        tally = act(where, [], lambda opened: _load(opened, bundle, images, options, quiet=quiet))
    _report(tally, len(images), file, dry_run=dry_run, as_json=as_json)


async def _load(
    opened: Opened, bundle: "Bundle", images: "list[Wanted]", options: "Options", *, quiet: bool
) -> "Tally":
    from registry.mirror.bundle_load import load as load_bundle  # noqa: PLC0415  # start-up time
    from registry.mirror.progress import Tally  # noqa: PLC0415

    tally = Tally()
    async with shown(line_of(tally, len(images)), quiet=quiet):
        into = (opened.place, _mount(opened, bundle, options))
        return await load_bundle(bundle, images, into, options, tally.take)


def _mount(opened: Opened, bundle: "Bundle", options: "Options") -> "Mount":
    """How blobs of other repositories are used."""
    from registry.content.digest import Digest  # noqa: PLC0415  # start-up time
    from registry.content.local_place import LocalPlace  # noqa: PLC0415
    from registry.content.names import RepositoryName  # noqa: PLC0415
    from registry.mirror.bundle_load import MountFromAnywhere  # noqa: PLC0415

    place = opened.place
    if not isinstance(place, LocalPlace):
        return MountFromAnywhere(place, bundle, loaded=not options.dry_run)

    async def mount(name: RepositoryName, digest: Digest) -> bool:
        return await (place.has_anywhere(digest) if options.dry_run else place.mount_from_anywhere(name, digest))

    return mount


def _name(unnamed: str | None) -> "RepositoryName | None":
    from registry.content.errors import NameInvalid  # noqa: PLC0415  # start-up time
    from registry.content.names import RepositoryName  # noqa: PLC0415

    try:
        return None if unnamed is None else RepositoryName.parse(unnamed)
    except NameInvalid as error:
        raise Failure(f"--as: {error.message}", MISUSED) from error


def _wanted(bundle: "Bundle", prefix: str) -> "list[Wanted]":
    from registry.content.errors import NameInvalid  # noqa: PLC0415  # start-up time
    from registry.mirror.bundle_load import Unnamed, wanted  # noqa: PLC0415

    try:
        return wanted(bundle, prefix)
    except Unnamed as error:
        raise Failure(f"{error}: say so with --as NAME", MISUSED) from error
    except NameInvalid as error:
        raise Failure(f"--prefix {prefix}: {error.message}", MISUSED) from error


def _report(tally: "Tally", images: int, file: Path, *, dry_run: bool, as_json: bool) -> None:
    from config.units import format_size  # noqa: PLC0415  # start-up time

    done = images - len({failed.image for failed in tally.failed})
    if as_json:
        output.json_result(
            {
                "dry_run": dry_run,
                "images": done,
                "blobs": tally.blobs,
                "bytes": tally.size,
                "blobs_copied": tally.blobs_copied,
                "bytes_copied": tally.size_copied,
                "failed": failures(tally),
            }
        )
    else:
        would = "would load" if dry_run else "loaded"
        output.result(f"{would} {done} of {images} images, {format_size(tally.size_copied)} of blobs")
        for failed in tally.failed:
            output.result(f"failed: {failed.image}: {failed.reason}")
    if tally.failed:
        raise Failure(f"{images - done} images of {file} could not be loaded{but(done, 'loaded', would=dry_run)}")
