"""`cargohold rmi`: remove images by name, as `docker rmi` does."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.failure import MISUSED, Failure
from registry.cli.looking_options import prefix
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.target import Opened, PlainHttpOption, TargetOptions, UrlOption, act, parse_image, told

if TYPE_CHECKING:
    from registry.browse.removal import Removal, Repository
    from registry.content.image_references import ImageReference
    from registry.content.names import Reference, RepositoryName


class _Run:
    """One call: what has gone so far (in a dry run: would go), and what could not."""

    def __init__(self, opened: Opened, *, force: bool, keep: bool, dry_run: bool) -> None:
        self.untagged: list[str] = []
        self.deleted: list[str] = []
        self.missing: list[str] = []
        self.wrong: list[str] = []
        self._opened = opened
        self._force = force
        self._keep = keep
        self._dry_run = dry_run

    async def repository(self, name: "RepositoryName", wanted: "Sequence[Reference]") -> None:
        """Remove images of one repository. Raises what the place raises but for what one image is refused with."""
        from registry.browse.removal import Conflict  # noqa: PLC0415  # start-up time
        from registry.content.errors import ManifestUnknown, NameUnknown, TagImmutable  # noqa: PLC0415

        try:
            repository = await self._look(name, wanted)
        except NameUnknown as error:
            self.missing.append(error.message)
            return
        going = repository.going(wanted, force=self._force)
        for reference in repository.in_order(wanted):
            try:
                removal = repository.plan(reference, going, force=self._force, keep=self._keep)
                await self._remove(name, removal)
            except ManifestUnknown as error:
                self.missing.append(error.message)
            except (Conflict, TagImmutable) as error:
                going.discard(reference)  # it stays, and what it needs
                self.wrong.append(error.message)

    async def _look(self, name: "RepositoryName", wanted: "Sequence[Reference]") -> "Repository":
        from registry.browse.removal import look, look_at  # noqa: PLC0415  # start-up time

        return await (look_at if self._keep else look)(self._opened.place, name, wanted)

    async def _remove(self, name: "RepositoryName", removal: "Removal") -> None:
        from registry.browse.removal import remove  # noqa: PLC0415  # start-up time

        if not self._dry_run:
            await remove(self._opened.place, name, removal)
        where = f"{prefix(self._opened)}{name}"
        self.untagged = list(dict.fromkeys([*self.untagged, *(f"{where}:{tag}" for tag in removal.tags)]))
        self.deleted = list(dict.fromkeys([*self.deleted, *(f"{where}@{digest}" for digest in removal.digests)]))
        if removal.kept:
            output.note(f"the image itself stays: {removal.kept}")


def rmi(  # noqa: PLR0917  # the command line gives them by name
    images: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="[HOST/]REPOSITORY[:TAG] or …@DIGEST")],
    config: ConfigOption = None,
    root: RootOption = None,
    url: UrlOption = None,
    plain_http: PlainHttpOption = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", "-f", help="Also what has tags or what an index needs; no error for what is not there."
        ),
    ] = False,
    keep: Annotated[bool, typer.Option("--no-prune", help="Only remove the tags; the images stay.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Remove images from a running registry, or straight from a storage. Asks nothing, as docker.

    A name with a tag removes the tag; with its last tag the image goes, of an image for several platforms all of them,
    unless another tag or an index with a tag needs it. A name with a digest removes the image, and asks for --force if
    it has tags or an index needs it. The space is free after the next garbage collection.

    \b
    Examples:
      cargohold rmi --root /srv/registry team/app:1.0
      cargohold rmi registry.example.com/team/app:1.0 registry.example.com/team/app:1.1 --dry-run
      cargohold rmi --force team/app@sha256:…
    """
    named = [parse_image(text) for text in images]
    if keep and any(each.digest for each in named):
        raise Failure("--no-prune removes tags alone, and a digest is none: leave out one of them", MISUSED)

    async def work(opened: Opened) -> _Run:
        run = _Run(opened, force=force, keep=keep, dry_run=dry_run)
        try:
            for name, wanted in _by_repository(named).items():
                with told():
                    await run.repository(name, wanted)
        except Failure as failure:  # what has gone is told all the same
            run.wrong.append(str(failure))
        return run

    run = act(TargetOptions(config, root, url, plain_http, looks=True, writes=True), named, work)
    if as_json:
        output.json_result({"dry_run": dry_run, "untagged": run.untagged, "deleted": run.deleted})
    else:
        verbs = ("Would untag", "Would delete") if dry_run else ("Untagged", "Deleted")
        for verb, names in zip(verbs, (run.untagged, run.deleted), strict=True):
            for name in names:
                output.result(f"{verb}: {name}")
    if run.missing and force and not run.wrong:
        output.note("\n".join(run.missing))
    elif run.missing or run.wrong:
        raise Failure("\n".join([*run.missing, *run.wrong]))


def _by_repository(named: "Sequence[ImageReference]") -> "dict[RepositoryName, list[Reference]]":
    found: dict[RepositoryName, list[Reference]] = {}
    for each in named:
        found.setdefault(each.name, []).append(each.reference)
    return found
