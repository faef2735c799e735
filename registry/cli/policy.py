"""`cargohold policy …`: ask the rules what they say."""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.failure import FAILED, MISUSED, Failure
from registry.cli.settings_options import ConfigOption, RootOption, read_settings

if TYPE_CHECKING:
    from auth.access import Action
    from auth.accounts import Accounts
    from auth.identity import Identity
    from config.load import Loaded
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

    try:
        wanted = Action(action)
    except ValueError as error:
        raise Failure(f"{action!r} is not an action; there are pull, push, delete and admin", MISUSED) from error
    loaded = read_settings(config, {"--root": root})
    found = asyncio.run(_somebody(loaded.settings, user, frozenset(group or ())))
    verdict = _verdict(loaded, found.identity, wanted, repository)
    if as_json:
        output.json_result(
            {
                "user": str(found.identity),
                "action": action,
                "repository": repository,
                "allowed": verdict.allowed,
                "reason": verdict.reason,
                "rule": verdict.where or None,
                "note": found.note or None,
            }
        )
    else:
        word, place = "allowed" if verdict.allowed else "denied", f" ({verdict.where})" if verdict.where else ""
        output.result(f"{word}: {found.identity} {action} {repository}\n  {verdict.reason}{place}")
        if found.note:
            output.note(f"note: {found.note}")
    if not verdict.allowed:
        raise typer.Exit(FAILED)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Whether something is allowed, why, and where that is written."""

    allowed: bool
    reason: str
    where: str


@dataclass(frozen=True, slots=True)
class _Somebody:
    """Whom a name means, with the groups or the scope that we know of, and what has to be said of it."""

    identity: "Identity"
    note: str = ""


def _verdict(loaded: "Loaded", identity: "Identity", action: "Action", repository: str) -> _Verdict:
    """What the server would say. The rules are asked last: it refuses some things to everybody."""
    from auth.access import Action, is_repository_name  # noqa: PLC0415  # start-up time
    from registry.app_auth import build_policy  # noqa: PLC0415

    settings = loaded.settings
    if not is_repository_name(repository):
        return _Verdict(False, f"no repository can have the name {repository!r}", "")
    if settings.access.read_only and action in {Action.PUSH, Action.DELETE}:
        return _Verdict(False, "the registry is in read-only mode", loaded.where(("access", "read_only")))
    if action is Action.DELETE and not settings.registry.allow_delete:
        return _Verdict(False, "deleting is switched off", loaded.where(("registry", "allow_delete")))
    source = settings.mirror.source_of(repository)
    if action is Action.PUSH and source is not None and not source.offline:
        where = loaded.where(("mirror", "sources", settings.mirror.sources.index(source)))
        return _Verdict(False, f"what lies below {source.prefix}/ mirrors {source.upstream}", where)
    policy = build_policy(settings.access, logins=settings.auth.is_on, where=loaded.where)
    found = policy.explain(identity, action, repository)
    return _Verdict(found.allowed, found.reason, found.rule.where if found.rule is not None else "")


async def _somebody(settings: "Settings", user: str, groups: frozenset[str]) -> _Somebody:
    from auth.accounts import Accounts  # noqa: PLC0415  # start-up time
    from auth.identity import ANONYMOUS, Identity, Kind  # noqa: PLC0415
    from registry.app_auth import build_accounts  # noqa: PLC0415
    from registry.app_storage import build_backend  # noqa: PLC0415
    from storage_backends.memory import MemoryBackend  # noqa: PLC0415

    is_there = bool(settings.storage.s3.bucket) or settings.storage.root.is_dir()
    accounts: Accounts = build_accounts(build_backend(settings) if is_there else MemoryBackend())
    if user == "anonymous":
        found = _Somebody(ANONYMOUS)
    elif user.startswith("robot:"):
        found = await _robot(settings, accounts, user.removeprefix("robot:"))
    else:
        known, note = await _user(settings, accounts, user)
        found = _Somebody(Identity(Kind.USER, user, groups | known), note)
    if settings.auth.is_on:
        return found
    return _Somebody(found.identity, "nobody is asked to log in, so everybody may do everything")


async def _robot(settings: "Settings", accounts: "Accounts", name: str) -> _Somebody:
    from auth.identity import Identity, Kind  # noqa: PLC0415  # start-up time

    tokens = (await accounts.state()).tokens.values()
    token = next((token for token in tokens if not token.owner and token.name == name), None)
    note = ""
    if token is not None and token.has_expired(time.time()):
        note = f"the access token of robot {name} has expired: nobody can log in with it"
    elif token is None and not settings.auth.url and not settings.auth.issuers:
        note = f"there is no robot {name}: nobody can log in so (`cargohold token list` shows all)"
    return _Somebody(Identity(Kind.ROBOT, name, scope=(token.scope if token is not None else None) or ()), note)


async def _user(settings: "Settings", accounts: "Accounts", name: str) -> tuple[frozenset[str], str]:
    """The groups of a user that we know of, and what has to be said."""
    from auth.errors import AccountInvalid  # noqa: PLC0415  # start-up time
    from registry.app_auth import build_users  # noqa: PLC0415

    try:
        user = await build_users(settings.auth, accounts).find(name)
    except AccountInvalid as error:
        return frozenset(), f"whether there is a user {name} is not known: {error.message}"
    if user is not None:
        return user.groups, ""
    elsewhere = settings.auth.url or settings.auth.ldap.url
    return frozenset(), "" if elsewhere else f"there is no user {name}: nobody can log in so"
