"""Files that the bundle commands read: bundles, inventories, keys. Turns what is wrong with them into a `Failure`."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli.failure import INTERRUPTED, MISUSED, Failure

if TYPE_CHECKING:
    from registry.content.names import RepositoryName
    from registry.mirror.bundle_base import Base
    from registry.mirror.bundle_reader import Bundle, Check

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A bundle, or the name or first part of one that was split.")
]
KeyOption = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="Refuse it unless this public key (PEM) verifies its signature."),
]


@contextmanager
def told() -> Iterator[None]:
    """What is wrong with a bundle, or with what it is made from or loaded into, becomes a `Failure`."""
    from registry.cli import target  # noqa: PLC0415  # start-up time
    from registry.mirror.bundle_output import BundleBusy  # noqa: PLC0415
    from registry.mirror.bundle_reader import NotSigned  # noqa: PLC0415
    from registry.mirror.bundle_signing import KeyInvalid  # noqa: PLC0415
    from registry.mirror.bundle_writer import BundleTooLarge  # noqa: PLC0415

    try:
        with target.told():
            yield
    except KeyInvalid as error:
        raise Failure(str(error), MISUSED) from error
    except (NotSigned, BundleBusy, BundleTooLarge) as error:
        raise Failure(str(error)) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        more = "; free some, and run it again to go on from there" if error.errno in {ENOSPC, EDQUOT} else ""
        raise Failure(f"{where}{error.strerror or error}{more}") from error
    except Failure as failure:
        if failure.code == INTERRUPTED:
            raise Failure("stopped; run it again to go on from there", INTERRUPTED) from None
        raise


def check_destination(path: Path) -> None:
    """A file gets its name when all of it is there: what is no file, such as /dev/stdout, would be gone. Its directory
    has to be there: where a medium is not mounted, another disk would be filled. Raises `Failure`.
    """
    if not path.parent.is_dir():
        raise Failure(
            f"--output {path}: the directory {path.parent} is not there; make it, or mount the medium", MISUSED
        )
    if path.exists() and not path.is_file():
        what = "a directory: name a file in it" if path.is_dir() else "no file, and would be replaced: name a file"
        raise Failure(f"--output {path} is {what}", MISUSED)


def open_checked(path: Path, key: Path | None, unnamed: "RepositoryName | None" = None) -> "closing[Bundle]":
    """A bundle, with its signature verified if there is a key. Raises what `told` tells."""
    from registry.mirror.bundle_reader import open_bundle  # noqa: PLC0415  # start-up time

    if path.is_dir():
        raise Failure(f"{path} is a directory, and a bundle a file; an OCI layout loads `cargohold sync oci:{path}`")
    return closing(open_bundle(path, _check(key), unnamed))


def read_base(path: Path) -> "tuple[Base, str]":
    """What the other side has by a file of `--since`, and what tells this file from others. Raises `Failure`."""
    from registry.content.digest import Digest  # noqa: PLC0415  # start-up time
    from registry.mirror.bundle_base import LARGEST_INVENTORY, EarlierBundle, parse_inventory  # noqa: PLC0415
    from registry.mirror.layout_files import check_small  # noqa: PLC0415

    if path.is_file():
        with path.open("rb") as file:
            if file.read(1) == b"{":
                check_small(str(path), path.stat().st_size, LARGEST_INVENTORY)
                data = path.read_bytes()
                return parse_inventory(data), str(Digest.of(data))
    with open_checked(path, None) as bundle:
        if bundle.manifest is None:
            raise Failure(f"--since {path}: another program has made it, and it does not say what is in it", MISUSED)
        return EarlierBundle(bundle.manifest, bundle.layout.images), str(Digest.of(bundle.manifest.dumps()))


def _check(key: Path | None) -> "Check | None":
    from registry.mirror.bundle_signing import is_signed_by, read_public_key  # noqa: PLC0415  # start-up time

    if key is None:
        return None
    public = read_public_key(key)
    return lambda signature, data: is_signed_by(public, signature, data)
