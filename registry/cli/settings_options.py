"""Options that several commands share, and how they become settings."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli.failure import MISUSED, Failure

if TYPE_CHECKING:
    from config.checks import Problem
    from config.load import ConfigError, Flag, Loaded
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


def load_settings(
    config: Path | None, flags: Mapping[str, object], checks: "Sequence[Callable[[Settings], Iterable[Problem]]]" = ()
) -> "Settings":
    """Settings from the file, the environment and the flags that are not None, for a command that only reads or
    changes data: they need not go with each other as a server's, but rules have to mean something, and the `checks`
    have to be passed. Raises `Failure`.
    """
    from registry.app_auth import auth_problems  # noqa: PLC0415  # start-up time

    return _read(config, flags, (auth_problems, *checks)).settings


def settings_as_written(config: Path | None) -> "Settings":
    """Settings from the file and the environment, for a command that looks something up in them and asks no rule.
    Raises `Failure`.
    """
    return _read(config, {}, ()).settings


def read_settings(config: Path | None, flags: Mapping[str, object]) -> "Loaded":
    """As `load_settings`, fit for a server, and with the place where each was written. Raises `Failure`."""
    return _read(config, flags, checks())


def read_again(config: Path, flags: Mapping[str, object]) -> "Callable[[], Loaded]":
    """What reads the same settings once more, for a server that runs. It raises `ConfigError`."""
    from config.load import read  # noqa: PLC0415  # start-up time

    looked_at = checks()
    return lambda: read(config, _flags(flags), checks=looked_at)


def checks() -> "Sequence[Callable[[Settings], Iterable[Problem]]]":
    """All that is looked at before a server starts."""
    from config.checks import problems  # noqa: PLC0415  # start-up time
    from registry.app_auth import auth_problems  # noqa: PLC0415
    from registry.app_mirror import mirror_problems  # noqa: PLC0415
    from registry.app_retention import retention_problems  # noqa: PLC0415
    from registry.app_upstreams import upstream_problems  # noqa: PLC0415

    return (problems, auth_problems, upstream_problems, mirror_problems, _sync_problems, retention_problems)


def _sync_problems(settings: "Settings") -> "Iterable[Problem]":
    if not settings.sync.copies:
        return ()
    from registry.app_sync import sync_problems  # noqa: PLC0415  # the time that its clients of registries take to import

    return sync_problems(settings)


def _read(
    config: Path | None, flags: Mapping[str, object], checks: "Sequence[Callable[[Settings], Iterable[Problem]]]"
) -> "Loaded":
    from config.load import ConfigError, read  # noqa: PLC0415  # `cargohold --help` shall not wait for it

    try:
        return read(config, _flags(flags), checks=checks)
    except ConfigError as error:
        raise refused(error) from error


def _flags(flags: Mapping[str, object]) -> "list[Flag]":
    from config.load import Flag  # noqa: PLC0415  # start-up time

    return [Flag(name, _PATHS[name], value) for name, value in flags.items() if value is not None]


def refused(error: "ConfigError") -> Failure:
    """What to say of settings that cannot be used."""
    return Failure("the settings cannot be used:\n" + "\n".join(f"  {mistake}" for mistake in error.mistakes), MISUSED)
