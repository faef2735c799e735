"""`cargohold auth …`: the token service by itself, and the keys that sign tokens."""

from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.serve import ListenOption, LogFormatOption, WorkersOption, run_token_service
from registry.cli.settings_options import ConfigOption, RootOption
from registry.cli.storage_access import with_storage

if TYPE_CHECKING:
    from auth.keys import Keys
    from config.settings import Settings
    from storage_backends.base import StorageBackend

app = typer.Typer(
    help="Serve tokens to several registries; look after the keys that sign them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
keys = typer.Typer(help="The keys that sign tokens.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys, name="keys")


@app.command()
def serve(
    config: ConfigOption = None,
    root: RootOption = None,
    listen: ListenOption = None,
    workers: WorkersOption = None,
    log_format: LogFormatOption = None,
) -> None:
    """Serve the token service alone, for registries that are elsewhere.

    Each registry names it with `auth.url`, has a service name of its own (`auth.token.service`, listed here under
    `auth.token.further_services`), and the same `access.rules`.

    \b
    Example:
      cargohold auth serve --config auth.yml --listen 127.0.0.1:5001
    """
    flags = {"--root": root, "--listen": listen, "--workers": workers, "--log-format": log_format}
    run_token_service(config, flags)


@keys.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """List the keys; the last one whose time has come signs."""

    async def work(_: "Settings", backend: "StorageBackend") -> "Keys":
        from registry.app_auth import build_keys  # noqa: PLC0415  # start-up time

        return await build_keys(backend).known()

    found = with_storage(config, root, work)
    rows = [(key.id, *map(output.moment, (key.created, key.signs_from, key.ends))) for key in found]
    if as_json:
        output.json_result([dict(zip(("id", "created", "signs_from", "ends"), row, strict=True)) for row in rows])
        return
    output.table(("ID", "CREATED", "SIGNS FROM", "ENDS"), rows)


@keys.command()
def rotate(
    at_once: Annotated[
        bool,
        typer.Option(
            "--at-once", help="The keys are not safe any more: refuse all that they have signed, from now on."
        ),
    ] = False,
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a new key. The old ones verify for as long as what they have signed is good; nobody is logged out."""

    async def work(settings: "Settings", backend: "StorageBackend") -> str:
        from registry.app_auth import build_keys  # noqa: PLC0415  # start-up time

        token = settings.auth.token
        keep = token.lifetime_seconds + 2 * token.leeway_seconds + 60
        return (await build_keys(backend).rotate(keep, at_once=at_once)).id

    output.result(f"new key: {with_storage(config, root, work)}")
