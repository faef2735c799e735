"""The command `cargohold`: its commands, its global options, and the one place where a failure becomes an exit code."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from registry import __version__
from registry.cli import auth_commands, bundle, config_commands, mirror, output, policy, storage, tokens, users
from registry.cli.dockers_flags import DockersFlags
from registry.cli.du import du
from registry.cli.failure import FAILED, Failure
from registry.cli.fsck import fsck
from registry.cli.gc import gc
from registry.cli.health import health
from registry.cli.history import history
from registry.cli.images import images
from registry.cli.inspecting import inspect
from registry.cli.lists import lists
from registry.cli.prune import prune
from registry.cli.referrers import referrers
from registry.cli.reindex import reindex
from registry.cli.restore import restore
from registry.cli.retention import retention
from registry.cli.rmi import rmi
from registry.cli.scrub import scrub
from registry.cli.serve import serve
from registry.cli.sync import sync
from registry.cli.tag import tag

_EPILOG = """\b
Examples:
  cargohold serve                                   data in ./data, on 127.0.0.1:5000
  cargohold serve --root /srv/registry --listen unix:/run/cargohold.sock
  cargohold config default > cargohold.yml          every setting, explained
  cargohold serve --config cargohold.yml
  cargohold images --root /srv/registry             what is there
  cargohold gc --dry-run                            what nobody needs any more
  cargohold sync docker.io/library/alpine --newest 3 --to mirror
  cargohold user add alice                          somebody who may log in, with auth.enabled
  cargohold token create --name ci --scope 'team/*:pull,push'

\b
Exit codes: 0 done, 1 failed, 2 wrong arguments or settings, 130 stopped with Ctrl-C or SIGTERM."""

app = typer.Typer(
    help="A self-hosted, private registry for OCI and Docker images.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command()(serve)
for command in (images, inspect, history, tag, rmi, referrers, du):
    app.command(cls=DockersFlags)(command)
app.command()(gc)
app.command()(prune)
app.command()(retention)
app.command()(scrub)
app.command()(restore)
app.command()(fsck)
app.command()(reindex)
app.command()(lists)
app.command()(sync)
app.command()(health)
app.add_typer(users.app, name="user")
app.add_typer(tokens.app, name="token")
app.add_typer(policy.app, name="policy")
app.add_typer(auth_commands.app, name="auth")
app.add_typer(mirror.app, name="mirror")
app.add_typer(storage.app, name="storage")
app.add_typer(bundle.app, name="bundle")
app.add_typer(config_commands.app, name="config")


def _print_version(wanted: bool) -> None:
    if wanted:
        output.result(f"cargohold {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback if the command fails.")] = False,
) -> None:
    """Options of all commands. `debug` is acted on in `run`, which sees failures of any kind."""


def run() -> None:
    """Entry point of the console script. Exits with 0, 1, 2 or 130."""
    if sys.stdin is None:  # closed by whoever started us: then nothing can be read, and nobody be asked
        sys.stdin = Path(os.devnull).open()  # noqa: SIM115  # for as long as we run
    try:
        app(prog_name="cargohold")
    except Failure as failure:
        output.error(str(failure))
        _end(failure, failure.code)
    except PermissionError as error:
        what = error.filename or "a file or a socket"
        output.error(f"{what}: {error.strerror}. Run this as a user who may, such as that of the server")
        _end(error, FAILED)
    except Exception as error:
        output.error(f"this is a mistake in Cargohold itself: {type(error).__name__}: {error}")
        _end(error, FAILED)


def _end(error: Exception, code: int) -> None:
    if "--debug" in sys.argv[1:]:
        output.trace(error)
    elif not isinstance(error, Failure | PermissionError):
        output.note("Run it again as `cargohold --debug …` to see where, and please report it.")
    sys.exit(code)
