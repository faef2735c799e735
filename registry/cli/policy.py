"""`cargohold policy …`: ask the rules what they say."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.failure import FAILED, MISUSED, Failure
from registry.cli.settings_options import ConfigOption, RootOption, read_settings

if TYPE_CHECKING:
    from auth.identity import Identity
    from config.settings import Settings

app = typer.Typer(help="Ask the rules of access what they say.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def check(  # noqa: PLR0917  # the command line gives them by name
    user: Annotated[str, typer.Argument(metavar="USER", help="A user, robot:NAME, or anonymous.")],
    action: Annotated[str, typer.Argument(metavar="ACTION", help="pull, push, delete or admin.")],
    repository: Annotated[str, typer.Argument(metavar="REPO", help="A repository, which need not exist.")],
    group: Annotated[
        list[str] | None,
        typer.Option("--group", "-g", metavar="GROUP", help="Take the user as a member; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Say whether somebody may do something with a repository, and which rule decides it.

    Groups come from the settings and the storage; those of a directory have to be given with --group. Exit code 0:
    allowed, 1: not allowed.

    \b
    Examples:
      cargohold policy check alice push team/app --config cargohold.yml
      cargohold policy check robot:ci delete team/app
      cargohold policy check anonymous pull public/base
    """
    from auth.access import Action  # noqa: PLC0415  # start-up time
    from registry.app_auth import build_policy  # noqa: PLC0415

    try:
        wanted = Action(action)
    except ValueError as error:
        raise Failure(f"{action!r} is not an action; there are pull, push, delete and admin", MISUSED) from error
    loaded = read_settings(config, {"--root": root})
    policy = build_policy(loaded.settings.access, logins=loaded.settings.auth.is_on, where=loaded.where)
    identity = asyncio.run(_identity(loaded.settings, user, frozenset(group or ())))
    found = policy.explain(identity, wanted, repository)
    where = found.rule.where if found.rule is not None else ""
    if as_json:
        output.json_result(
            {
                "user": str(identity),
                "action": action,
                "repository": repository,
                "allowed": found.allowed,
                "reason": found.reason,
                "rule": where or None,
            }
        )
    else:
        verdict = "allowed" if found.allowed else "denied"
        output.result(f"{verdict}: {identity} {action} {repository}\n  {found.reason}{f' ({where})' if where else ''}")
        if not loaded.settings.auth.is_on:
            output.note("note: nobody is asked to log in, so everybody may do everything")
    if not found.allowed:
        raise typer.Exit(FAILED)


async def _identity(settings: "Settings", user: str, groups: frozenset[str]) -> "Identity":
    """Whoever `user` names, with the groups or the scope that we know of."""
    from auth.accounts import AccountsState  # noqa: PLC0415  # start-up time
    from auth.identity import ANONYMOUS, Identity, Kind  # noqa: PLC0415
    from registry.app_auth import build_accounts  # noqa: PLC0415
    from registry.app_storage import build_backend  # noqa: PLC0415

    if user == "anonymous":
        return ANONYMOUS
    there = bool(settings.storage.s3.bucket) or settings.storage.root.is_dir()
    state = await build_accounts(build_backend(settings)).state() if there else AccountsState()
    if user.startswith("robot:"):
        name = user.removeprefix("robot:")
        scopes = [token.scope for token in state.tokens.values() if not token.owner and token.name == name]
        return Identity(Kind.ROBOT, name, scope=(scopes[0] if scopes else None) or ())
    known = {one.name: frozenset(one.groups) for one in state.users.values()}
    known |= {one.name: frozenset(one.groups) for one in settings.auth.users}
    return Identity(Kind.USER, user, groups | known.get(user, frozenset()))
