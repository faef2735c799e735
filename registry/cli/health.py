"""`cargohold health`: ask a server whether it can serve, for container and service managers."""

from typing import Annotated

import typer

from registry.cli import output
from registry.cli.failure import MISUSED, Failure
from registry.cli.settings_options import ConfigOption, settings_as_written

_NO_CERTIFICATE = "; it wants a client certificate (server.tls.client_ca), and this command has none: ask with `curl`"


def health(
    url: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="The server; by default the one of the settings.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.001, max=3600, help="How long to wait.")
    ] = 5.0,
) -> None:
    """Ask a running server whether it can serve.

    Exits with 0 if the server can read and write its storage, else with 1 and the reason.

    \b
    Examples:
      cargohold health
      cargohold health http://127.0.0.1:5000
    """
    from registry.cli import probe  # noqa: PLC0415  # no other command needs an HTTP client

    try:
        connection = probe.connection_to(url, timeout) if url else None
    except ValueError as error:
        raise Failure(str(error), MISUSED) from error
    hint = ""
    if connection is None:
        settings = settings_as_written(config)
        connection = probe.connection_by(settings, timeout)
        hint = _NO_CERTIFICATE if settings.server.tls.client_ca else ""
    try:
        probe.ask(connection)
    except probe.NotReady as error:
        hint = "" if isinstance(error.__cause__, ConnectionRefusedError) else hint
        raise Failure(f"{error}{hint}") from error
    output.result("ready")
