"""Options that several commands share, and how they become settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli.failure import MISUSED, Failure

if TYPE_CHECKING:
    from config.load import ConfigError
    from config.settings import Settings

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="CARGOHOLD_CONFIG",
        metavar="FILE",
        help="Settings in YAML; see `cargohold config default`.",
        show_default=False,
    ),
]
RootOption = Annotated[
    Path | None,
    typer.Option("--root", "-r", metavar="DIR", help="The directory of all data.", show_default="./data"),
]

_PATHS = {
    "--root": ("storage", "root"),
    "--listen": ("server", "listen"),
    "--workers": ("server", "workers"),
    "--allow-anonymous-writes": ("access", "allow_anonymous_writes"),
    "--log-format": ("log", "format"),
}


def load_settings(config: Path | None, flags: Mapping[str, object], *, to_serve: bool = False) -> "Settings":
    """Settings from the file, the environment and the flags that are not None; fit for a server if it is `to_serve`.

    Raises `Failure`.
    """
    from config.load import ConfigError, Flag, load  # noqa: PLC0415  # `cargohold --help` shall not wait for it

    given = [Flag(name, _PATHS[name], value) for name, value in flags.items() if value is not None]
    try:
        return load(config, given, fitting=to_serve)
    except ConfigError as error:
        raise refused(error) from error


def refused(error: "ConfigError") -> Failure:
    """What to say of settings that cannot be used."""
    return Failure("the settings cannot be used:\n" + "\n".join(f"  {mistake}" for mistake in error.mistakes), MISUSED)
