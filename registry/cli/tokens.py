"""`cargohold token …`: access tokens of people and robots, and the logins that clients keep."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli import output
from registry.cli.failure import MISUSED, Failure
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.storage_access import note_who_is_asked, with_storage

if TYPE_CHECKING:
    from auth.access import Grant
    from auth.accounts import AccessToken, Accounts
    from auth.refresh_tokens import Login
    from auth.secrets import Secret
    from config.settings import Settings
    from storage_backends.base import StorageBackend

_LONGEST = 100 * 365 * 86400
"""Seconds. What is much longer ends at a time that cannot be told."""

app = typer.Typer(
    help="Make and revoke access tokens. Running servers see a change within two seconds.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def create(  # noqa: PLR0917  # the command line gives them by name
    name: Annotated[str, typer.Option("--name", "-n", metavar="NAME", help="What the token is called.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", "-s", metavar="PATTERN:ACTIONS", help="What it is good for: 'team/*:pull,push'. May be repeated."
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", "-u", metavar="NAME", help="Make a personal token of this user, not a robot's."),
    ] = None,
    expires: Annotated[
        str, typer.Option("--expires", "-e", metavar="TIME", help="For how long it is good: 12h, 90d; or `never`.")
    ] = "90d",
    force: Annotated[bool, typer.Option("--force", "-f", help="Also for a user whom nobody knows (yet).")] = False,
    as_json: JsonOption = False,
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Make an access token and show it, once.

    A robot's token may do what its scope says and nothing else. A personal token may do what its user may, or of that
    only what its scope says. It is used in place of a password: `docker login --username NAME`, with the robot's or the
    user's name.

    \b
    Examples:
      cargohold token create --name ci --scope 'team/*:pull,push' --expires 90d
      cargohold token create --name laptop --user alice
      cargohold token create --name mirror --scope '**:pull' --json | jq -r .token
    """
    from auth.errors import ScopeInvalid  # noqa: PLC0415  # start-up time

    if user is None and not scope:
        raise Failure("say what the robot may do: --scope 'team/*:pull,push'; or whose token it is: --user", MISUSED)
    try:
        grants = _grants(scope, "user") if user else _grants(scope)
        until = _until(expires)
    except (ScopeInvalid, ValueError) as error:
        raise Failure(str(error), MISUSED) from error

    async def work(settings: "Settings", backend: "StorageBackend") -> "tuple[AccessToken, Secret]":
        from registry.app_auth import build_accounts  # noqa: PLC0415

        note_who_is_asked(settings)
        accounts = build_accounts(backend)
        if user and not force:
            await _check_user(settings, accounts, user)
        return await accounts.add_token(name, user or "", grants, until)

    token, secret = with_storage(config, root, work, begins=True)
    if as_json:
        output.json_result({**_as_json(token, None), "token": secret.text})
        return
    output.note(f"login: docker login --username {token.owner or token.name} REGISTRY")
    output.note(f"expires: {output.moment(token.expires)}; this is shown once:")
    output.result(secret.text)


@app.command("list")
def list_tokens(
    logins: Annotated[
        bool, typer.Option("--logins", help="List the logins that clients keep (docker's identity tokens) instead.")
    ] = False,
    as_json: JsonOption = False,
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """List access tokens with their last use, which may be five minutes behind."""
    if logins:
        _list_logins(as_json, root, config)
        return

    async def work(_: "Settings", backend: "StorageBackend") -> "list[tuple[AccessToken, float | None]]":
        from registry.app_auth import build_accounts, build_token_uses  # noqa: PLC0415  # start-up time

        tokens = sorted((await build_accounts(backend).state()).tokens.values(), key=lambda token: token.name)
        uses = build_token_uses(backend)
        return [(token, await uses.last(token.id)) for token in tokens]

    found = with_storage(config, root, work)
    if as_json:
        output.json_result([_as_json(token, used) for token, used in found])
        return
    rows = []
    for token, used in found:
        scope = "all that the user may" if token.scope is None else " ".join(map(str, token.scope))
        expires = output.moment(token.expires) + (" (over)" if token.has_expired(time.time()) else "")
        rows.append((token.id, token.name, token.owner or "(robot)", scope, expires, output.moment(used)))
    output.table(("ID", "NAME", "USER", "SCOPE", "EXPIRES", "LAST USED"), rows)


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(metavar="NAME|ID", help="A token's name or id, or a login's id.")],
    user: Annotated[
        str | None,
        typer.Option("--user", "-u", metavar="NAME", help="Whose token it is, where several have the name."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would end.")] = False,
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """End an access token or a login, with everything that was obtained with it, within two seconds."""

    async def work(settings: "Settings", backend: "StorageBackend") -> list[str]:
        return await _revoke(settings, backend, token, user, dry_run=dry_run)

    for line in with_storage(config, root, work):
        output.result(("would end: " if dry_run else "ended: ") + line)


def _grants(texts: list[str] | None, *placeholders: str) -> "tuple[Grant, ...] | None":
    """What a token is good for; None: for all that its user may. Raises `ScopeInvalid`."""
    from auth.access import Grant  # noqa: PLC0415  # start-up time
    from auth.patterns import check_repositories  # noqa: PLC0415

    grants = tuple(Grant.parse(text) for text in texts or ())
    for grant in grants:
        check_repositories(grant.pattern, *placeholders)
    return grants or None


def _until(text: str) -> float:
    """When a token that is made now ends; 0 for never. Raises `ValueError`."""
    from config.units import parse_duration  # noqa: PLC0415  # start-up time

    if text == "never":
        return 0.0
    seconds = parse_duration(text)
    if seconds == 0:
        raise ValueError("a token that is over at once is good for nothing: --expires 90d, or never")
    if seconds > _LONGEST:
        raise ValueError("a token is good for 100 years at most: --expires 90d, or never")
    return time.time() + seconds


async def _check_user(settings: "Settings", accounts: "Accounts", name: str) -> None:
    """A token of nobody would be the token of whoever gets the name one day. Raises `AccountInvalid`."""
    from auth.errors import AccountInvalid  # noqa: PLC0415  # start-up time
    from registry.app_auth import build_sources  # noqa: PLC0415

    sources = build_sources(settings.auth, accounts)
    try:
        if not await sources.know(name):
            raise AccountInvalid(
                f"there is no user {name}: not in this storage, and in no source of users that the settings name"
                " (--config); --force makes the token all the same, for whoever gets the name"
            )
    finally:
        sources.close()


async def _revoke(
    settings: "Settings", backend: "StorageBackend", wanted: str, user: str | None, *, dry_run: bool
) -> list[str]:
    from registry.app_auth import build_accounts, build_refresh_tokens, build_token_uses  # noqa: PLC0415  # start-up

    accounts, logins = build_accounts(backend), build_refresh_tokens(settings, backend)
    meant = [login async for login in logins.all() if login.id == wanted]
    if meant:
        if not dry_run:
            # first what was obtained with it, then the login itself: a kill in between leaves what can be done again
            await accounts.revoke_login(wanted, time.time() + settings.auth.token.lifetime_seconds + 600)
            await logins.revoke(lambda login: login.id == wanted)
        return [_login(login) for login in meant]
    token = (await accounts.state()).token(wanted, user)

    def came_of_it(login: "Login") -> bool:
        return (login.identity.credential.kind, login.identity.credential.id) == ("token", token.id)

    if dry_run:
        begun = [login async for login in logins.all() if came_of_it(login)]
    else:
        await accounts.revoke_token(token.id)
        await build_token_uses(backend).forget(token.id)
        begun = await logins.revoke(came_of_it)
    return [f"access token {token.name} ({token.id})", *map(_login, begun)]


def _login(login: "Login") -> str:
    return f"the login of {login.identity}, begun {output.moment(login.created)}"


def _list_logins(as_json: bool, root: Any, config: Any) -> None:
    async def work(settings: "Settings", backend: "StorageBackend") -> list[dict[str, str]]:
        from registry.app_auth import build_refresh_tokens  # noqa: PLC0415  # start-up time

        return [
            {
                "id": login.id,
                "user": str(login.identity),
                "client": login.client_id,
                "created": output.moment(login.created),
                "expires": output.moment(login.expires),
            }
            async for login in build_refresh_tokens(settings, backend).all()
        ]

    found = with_storage(config, root, work)
    if as_json:
        output.json_result(found)
        return
    output.table(("ID", "USER", "CLIENT", "CREATED", "EXPIRES"), [tuple(row.values()) for row in found])


def _as_json(token: "AccessToken", used: float | None) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "user": token.owner or None,
        "scope": None if token.scope is None else [str(grant) for grant in token.scope],
        "created": output.moment(token.created),
        "expires": output.moment(token.expires),
        "last_used": output.moment(used),
    }
