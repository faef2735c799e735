"""`cargohold serve`: settings become a running server. Says at its start where, with which data, and open to whom."""

import functools
import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from registry import __version__
from registry.cli import output
from registry.cli.failure import MISUSED, Failure
from registry.cli.settings_options import ConfigOption, RootOption, read_again, read_settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from config.settings import Settings
    from registry.app_auth import SettingsSource
    from registry.serving.options import ServerOptions


ListenOption = Annotated[
    str | None,
    typer.Option(
        "--listen",
        "-l",
        metavar="HOST:PORT",
        help="Where to listen; also unix:/path. Port 0 takes a free one.",
        show_default="127.0.0.1:5000",
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", "-w", metavar="N", help="Number of processes.", show_default="1")
]
LogFormatOption = Annotated[
    Literal["auto", "text", "json"] | None,
    typer.Option("--log-format", help="How to write the log.", show_default="auto: text on a terminal, else json"),
]
Build = Callable[["Settings", "SettingsSource | None"], "ASGIApp"]


def serve(  # noqa: PLR0917  # the command line gives them by name
    config: ConfigOption = None,
    root: RootOption = None,
    listen: ListenOption = None,
    workers: WorkersOption = None,
    allow_anonymous_writes: Annotated[
        bool | None,
        typer.Option(
            "--allow-anonymous-writes", help="Let everybody who reaches the server push and delete.", show_default=False
        ),
    ] = None,
    log_format: LogFormatOption = None,
) -> None:
    """Serve the registry until SIGTERM or Ctrl-C.

    Flags override CARGOHOLD_SECTION__NAME variables, which override the settings file. Of that file the section
    `access` is read again whenever it changes.

    \b
    Examples:
      cargohold serve
      cargohold serve --root /srv/registry --workers 2
      cargohold serve --listen 0.0.0.0:5000 --allow-anonymous-writes
      CARGOHOLD_AUTH__HTPASSWD=users.htpasswd cargohold serve --listen 0.0.0.0:5000
      CARGOHOLD_REGISTRY__MAX_BLOB_BYTES=20GiB cargohold serve --config cargohold.yml
    """
    from registry.app import build_app  # noqa: PLC0415  # `cargohold --help` shall not wait for it

    flags = {
        "--root": root,
        "--listen": listen,
        "--workers": workers,
        "--allow-anonymous-writes": allow_anonymous_writes or None,
        "--log-format": log_format,
    }
    _run(config, flags, build_app)


def run_token_service(config: Path | None, flags: Mapping[str, object]) -> None:
    """Serve tokens alone until told to stop. Raises `Failure`."""
    from registry.app import build_token_app  # noqa: PLC0415  # start-up time

    _run(config, flags, build_token_app, _check_that_it_issues)


def _check_that_it_issues(settings: "Settings") -> None:
    if settings.auth.url:
        raise Failure(
            f"auth.url: {settings.auth.url} is the token service of these settings, and nothing would be issued here:"
            " give `auth serve` settings of its own, with users and rules",
            MISUSED,
        )


def _run(
    config: Path | None, flags: Mapping[str, object], build: Build, check: "Callable[[Settings], None]" = lambda _: None
) -> None:
    """Read the settings, `check` them and serve what `build` makes of them."""
    from registry.app_auth import SettingsSource, signature_of  # noqa: PLC0415  # start-up time

    seen = None if config is None else signature_of(config)
    loaded = read_settings(config, flags)
    check(loaded.settings)
    source = None if config is None else SettingsSource(config, loaded, read_again(config, flags), seen)
    run_server(_with_log_format(loaded.settings), source, build)


def run_server(settings: "Settings", source: "SettingsSource | None", build: Build) -> None:
    """Serve until told to stop. Raises `Failure` if it cannot be started."""
    from auth.errors import AuthError  # noqa: PLC0415  # `cargohold --help` shall not wait for all these
    from config.checks import missing_files  # noqa: PLC0415
    from registry.app_auth import check_sources  # noqa: PLC0415
    from registry.app_storage import build_backend, check_storage  # noqa: PLC0415
    from registry.ops.logs import configure_logging  # noqa: PLC0415
    from registry.ops.shared_counts import shared_counts  # noqa: PLC0415
    from registry.serving.listening import CannotListen  # noqa: PLC0415
    from registry.serving.run import serve as serve_until_stopped  # noqa: PLC0415
    from registry.serving.tls import TLSUnusable  # noqa: PLC0415
    from registry.serving.workers import WorkersFailed  # noqa: PLC0415
    from storage_backends.errors import StorageError  # noqa: PLC0415

    if problems := [f"  {problem}" for problem in missing_files(settings)]:
        raise Failure("\n".join(["files that the settings name cannot be used:", *problems]), MISUSED)
    configure_logging(json_lines=settings.log.format == "json", level=settings.log.level)
    try:
        # an unusable directory or file of users is reported once, here, and not by each worker
        check_storage(settings)
        check_sources(settings, build_backend(settings))
        with shared_counts() if settings.metrics.networks and settings.server.workers > 1 else nullcontext():
            serve_until_stopped(
                _options(settings),
                functools.partial(build, settings, source),
                functools.partial(_announce, settings),
            )
    except AuthError as error:
        raise Failure(error.message, MISUSED) from error
    except (CannotListen, StorageError, TLSUnusable, WorkersFailed) as error:
        raise Failure(str(error)) from error


def _with_log_format(settings: "Settings") -> "Settings":
    """`auto` decided here, where it is known what the log is written to."""
    if settings.log.format != "auto":
        return settings
    chosen = "text" if sys.stdout.isatty() and sys.stderr.isatty() else "json"
    return settings.model_copy(update={"log": settings.log.model_copy(update={"format": chosen})})


def _options(settings: "Settings") -> "ServerOptions":
    from config.addresses import TcpAddress  # noqa: PLC0415  # start-up time
    from registry.serving.limits import Limits  # noqa: PLC0415
    from registry.serving.options import TLS, ServerOptions  # noqa: PLC0415

    server, tls, address = settings.server, settings.server.tls, settings.server.address
    tcp = address if isinstance(address, TcpAddress) else TcpAddress("", 0)
    return ServerOptions(
        host=tcp.host,
        port=tcp.port,
        unix_socket=None if isinstance(address, TcpAddress) else Path(address.path),
        unix_socket_mode=server.unix_socket_mode,
        workers=server.workers,
        tls=TLS(tls.certificate, tls.key, tls.client_ca) if tls.certificate and tls.key else None,
        drain_timeout=server.drain_timeout_seconds,
        keep_alive=server.keep_alive_seconds,
        upload_threads=server.upload_threads,
        limits=Limits(
            max_header_bytes=server.max_header_bytes,
            header_timeout=server.header_timeout_seconds,
            body_timeout=server.body_timeout_seconds,
            send_timeout=server.send_timeout_seconds,
            max_connections=server.max_connections,
        ),
    )


def _announce(settings: "Settings", address: str) -> None:
    """Say that connections are accepted: one JSON line, or a few lines for people."""
    from config.checks import notes  # noqa: PLC0415  # start-up time
    from registry.app_storage import place_of  # noqa: PLC0415

    data, writers = place_of(settings), _writers(settings, address)
    noted = list(map(str, notes(settings)))
    if settings.log.format == "json":
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "level": "info",
            "message": "listening",
            "version": __version__,
            "address": address,
            "data": data,
            "writers": writers,
            **({"notes": noted} if noted else {}),
        }
        output.note(json.dumps(line, ensure_ascii=False))
        return
    output.note(f"Cargohold {__version__} listens on {address}")
    output.note(f"  data:   {data}")
    output.note(f"  access: {writers}")
    for text in noted:
        output.note(f"  note:   {text}")
    if "://" in address and not settings.auth.is_on:
        host = f"localhost:{address.rpartition(':')[2]}" if _is_everywhere(address) else address.partition("://")[2]
        output.note(f"  try:    docker tag IMAGE {host}/IMAGE && docker push {host}/IMAGE")


def _writers(settings: "Settings", address: str) -> str:
    if settings.auth.is_on:
        rules = settings.access.rules
        return f"{len(rules)} rules say who may do what" if rules is not None else "users who log in may do everything"
    if settings.server.tls.client_ca is not None:
        return f"clients with a certificate that {settings.server.tls.client_ca} vouches for may push and delete"
    if address.startswith("unix:"):
        who = f"whoever may open {address.removeprefix('unix:')}"
    elif _is_everywhere(address):
        who = f"anyone who reaches port {address.rpartition(':')[2]} of this machine"
    else:
        who = f"anyone who reaches {address.partition('://')[2]}"
    return f"{who} may push and delete: no authentication is configured"


def _is_everywhere(address: str) -> bool:
    return address.partition("://")[2].startswith(("0.0.0.0:", "[::]:"))
