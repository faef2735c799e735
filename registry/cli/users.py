"""`cargohold user …`: users whose passwords are kept, hashed, in the storage."""

from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.storage_access import ask_password, note_who_is_asked, with_storage

if TYPE_CHECKING:
    from auth.accounts import StoredUser
    from auth.refresh_tokens import Login
    from config.settings import Settings
    from storage_backends.base import StorageBackend

app = typer.Typer(
    help="Make and remove users. Running servers see a change within two seconds.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The user.")]
StdinOption = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def add(
    name: NameArgument,
    group: Annotated[list[str] | None, typer.Option("--group", "-g", metavar="GROUP", help="May be repeated.")] = None,
    password_stdin: StdinOption = False,
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a user; the password is asked for.

    \b
    Examples:
      cargohold user add alice --group dev
      pwgen -s 24 1 | tee password | cargohold user add alice --password-stdin
    """
    password = ask_password(password_stdin)

    async def work(settings: "Settings", backend: "StorageBackend") -> None:
        from auth.patterns import is_namespace  # noqa: PLC0415  # start-up time
        from registry.app_auth import build_accounts  # noqa: PLC0415

        await build_accounts(backend).add_user(name, await _hash(password), tuple(group or ()))
        note_who_is_asked(settings)
        if not is_namespace(name):
            output.note(f"note: no repository's name can have {name} in it: rules with {{user}} do not cover this user")

    with_storage(config, root, work, begins=True)
    output.result(f"user {name} was made")


@app.command()
def passwd(
    name: NameArgument, password_stdin: StdinOption = False, root: RootOption = None, config: ConfigOption = None
) -> None:
    """Change a user's password. Whoever is logged in with the old one is logged out."""
    password = ask_password(password_stdin)

    async def work(settings: "Settings", backend: "StorageBackend") -> int:
        from auth.passwords import stamp_of  # noqa: PLC0415  # start-up time
        from registry.app_auth import build_accounts, build_refresh_tokens  # noqa: PLC0415

        old = stamp_of(await build_accounts(backend).set_password(name, await _hash(password)))
        logins = build_refresh_tokens(settings, backend)
        return len(await logins.revoke(lambda one: one.identity.name == name and one.identity.credential.stamp == old))

    ended = with_storage(config, root, work)
    output.result(f"the password of {name} was changed; {ended} logins with the old one have ended")


@app.command("list")
def list_users(as_json: JsonOption = False, root: RootOption = None, config: ConfigOption = None) -> None:
    """List the users in the storage; those of the settings, an htpasswd file or a directory are not among them."""

    async def work(_: "Settings", backend: "StorageBackend") -> "list[StoredUser]":
        from registry.app_auth import build_accounts  # noqa: PLC0415  # start-up time

        return sorted((await build_accounts(backend).state()).users.values(), key=lambda user: user.name)

    users = with_storage(config, root, work)
    if as_json:
        output.json_result(
            [{"name": user.name, "groups": user.groups, "created": output.moment(user.created)} for user in users]
        )
        return
    rows = [(user.name, ",".join(user.groups), output.moment(user.created)) for user in users]
    output.table(("NAME", "GROUPS", "CREATED"), rows)


@app.command()
def remove(
    name: NameArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Remove a user with the user's access tokens and logins.

    Of a user of the settings, an htpasswd file or a directory it removes the access tokens and logins, so that whoever
    gets the name next does not get them.
    """

    async def work(settings: "Settings", backend: "StorageBackend") -> tuple[bool, int, int]:
        from auth.errors import AccountInvalid  # noqa: PLC0415  # start-up time
        from auth.identity import Kind  # noqa: PLC0415
        from registry.app_auth import build_accounts, build_refresh_tokens  # noqa: PLC0415

        accounts, logins = build_accounts(backend), build_refresh_tokens(settings, backend)

        def is_theirs(login: "Login") -> bool:
            return login.identity.kind is Kind.USER and login.identity.name == name

        state = await accounts.state()
        tokens = [token for token in state.tokens.values() if token.owner == name]
        begun = [login async for login in logins.all() if is_theirs(login)]
        if name not in state.users and not tokens and not begun:
            raise AccountInvalid(
                f"there is no user {name} in this storage, and no access token or login of that name;"
                " `cargohold user list` shows all users"
            )
        if not dry_run:
            tokens = await accounts.remove_user(name)
            begun = await logins.revoke(is_theirs)
        return name in state.users, len(tokens), len(begun)

    was_here, tokens, logins = with_storage(config, root, work)
    if was_here:
        would = "would be" if dry_run else "was"
        output.result(f"user {name} {would} removed, with {tokens} access tokens and {logins} logins")
        return
    output.note(f"{name} is no user of this storage: remove the name where it stands (settings, htpasswd, directory)")
    would = "would end" if dry_run else "have ended"
    output.result(f"{tokens} access tokens and {logins} logins of {name} {would}")


async def _hash(password: str) -> str:
    from auth.passwords import Passwords  # noqa: PLC0415  # start-up time

    passwords = Passwords()
    try:
        return await passwords.hash(password)
    finally:
        passwords.close()
