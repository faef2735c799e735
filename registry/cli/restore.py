"""`cargohold restore`: bring back what was deleted, until garbage collection has taken it."""

from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.failure import MISUSED, Failure
from registry.cli.gc import settings_of_storage
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.target import parse_image, told
from registry.ops.stopping import run_until_stopped

if TYPE_CHECKING:
    from config.settings import Settings
    from registry.cleanup.restore import Restorable, Restored, Restorer
    from registry.content.image_references import ImageReference


def restore(  # noqa: PLR0917  # the command line gives them by name
    image: Annotated[
        str | None, typer.Argument(metavar="REPOSITORY[:TAG|@DIGEST]", help="What to restore.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    root: RootOption = None,
    listed: Annotated[
        bool, typer.Option("--list", "-l", help="Only show what can be restored, and until when.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Also move tags that name something else by now.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be restored.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Bring back tags and manifests that were deleted, if it is not too late.

    What is deleted stays for `cleanup.grace_seconds`. A repository's name alone means all that was deleted in it; a tag
    means what it named last; a digest means a manifest with all its tags. What an index holds, and what refers to an
    image (signatures, SBOMs), comes back with it. Servers may run and clients may push meanwhile.

    \b
    Examples:
      cargohold restore --list
      cargohold restore team/app:1.2
      cargohold restore team/app --dry-run
      cargohold restore --config cargohold.yml team/app@sha256:0123…

    Exit code 1 if anything that was asked for is not restored.
    """
    wanted = parse_image(image) if image else None
    if wanted is None and not listed:
        raise Failure("say what to restore, REPOSITORY[:TAG|@DIGEST]; --list shows what there is", MISUSED)
    if wanted is not None and (wanted.host or (wanted.tag and wanted.digest)):
        raise Failure(f"{image}: write REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST, of this storage", MISUSED)
    settings = settings_of_storage(config, root)
    with told():
        if listed:
            items = run_until_stopped(_find(settings, wanted))
            _list(items, settings.cleanup.grace_seconds, as_json=as_json)
        elif wanted is not None:
            done = run_until_stopped(_restore(settings, wanted, force=force, dry_run=dry_run))
            _report(done, dry_run=dry_run, as_json=as_json)


def _restorer(settings: "Settings", *, force: bool = False, dry_run: bool = False) -> "Restorer":
    from registry.app_cleanup import immutable_tags  # noqa: PLC0415
    from registry.app_registry import registry_rules  # noqa: PLC0415  # start-up time
    from registry.app_storage import build_backend  # noqa: PLC0415
    from registry.cleanup.restore import Restorer  # noqa: PLC0415

    rules, immutable = registry_rules(settings), immutable_tags(settings)
    mirrored = [source.prefix for source in settings.mirror.online]
    return Restorer(build_backend(settings), rules, immutable, mirrored=mirrored, force=force, dry_run=dry_run)


async def _find(settings: "Settings", wanted: "ImageReference | None") -> "list[Restorable]":
    from registry.cleanup.restore import choose  # noqa: PLC0415  # start-up time

    restorer = _restorer(settings)
    if wanted is None:
        return [item async for item in restorer.everything()]
    found = await restorer.of(wanted.name)
    reference = wanted.digest or wanted.tag
    return choose(found, reference) if reference else found


async def _restore(settings: "Settings", wanted: "ImageReference", *, force: bool, dry_run: bool) -> "list[Restored]":
    from registry.cleanup.restore import choose  # noqa: PLC0415  # start-up time

    restorer = _restorer(settings, force=force, dry_run=dry_run)
    known = await restorer.of(wanted.name)
    chosen = choose(known, wanted.digest or wanted.tag)
    if not chosen:
        raise Failure(
            f"nothing that was deleted as {wanted} can be restored: it never was, is there again, or garbage"
            " collection has taken it; --list shows what there is"
        )
    return [restored async for restored in restorer.restore(chosen, known)]


def _list(items: "list[Restorable]", grace: float, *, as_json: bool) -> None:
    if as_json:
        output.json_result([{**_as_json(item), "until": output.moment(item.deleted + grace)} for item in items])
        return
    head = ("REPOSITORY", "TAGS", "DIGEST", "DELETED", "RESTORABLE UNTIL")
    rows = [
        (
            item.repository,
            ", ".join(item.tags) or "<none>",
            str(item.digest),
            output.moment(item.deleted),
            output.moment(item.deleted + grace),
        )
        for item in items
    ]
    output.table(head, rows)


def _report(done: "list[Restored]", *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        rows = [{**_as_json(one.item), "tags": one.tags, "restored": one.there, "refused": one.refused} for one in done]
        output.json_result({"dry_run": dry_run, "images": rows})
    else:
        verb = "Would restore" if dry_run else "Restored"
        for one in done:
            if one.there and not (one.refused and not one.tags):
                names = [f"{one.item.repository}:{tag}" for tag in one.tags]
                output.result(f"{verb}: {', '.join([*names, f'{one.item.repository}@{one.item.digest}'])}")
    refused = [reason for one in done for reason in one.refused]
    for reason in refused:
        output.note(f"not restored: {reason}")
    if refused:
        raise Failure("not everything was restored; --force moves tags that name something else by now")


def _as_json(item: "Restorable") -> dict[str, object]:
    return {
        "repository": item.repository,
        "digest": str(item.digest),
        "tags": item.tags,
        "media_type": item.media_type,
        "subject": str(item.subject) if item.subject else None,
        "deleted": output.moment(item.deleted),
    }
