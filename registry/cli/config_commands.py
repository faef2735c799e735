"""`cargohold config …`: look at settings without starting anything."""

from pathlib import Path
from typing import Annotated

import typer

from registry.cli import output
from registry.cli.settings_options import ConfigOption, checks, refused, settings_as_written

app = typer.Typer(help="Check and show settings.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The settings file.")],
) -> None:
    """Name each mistake in a settings file, with its line, and what may be more than was meant.

    The file alone is checked, without the environment; files that it names need not be there.
    """
    from config.checks import notes  # noqa: PLC0415  # start-up time
    from config.load import ConfigError, read  # noqa: PLC0415

    try:
        settings = read(file, environment=False, checks=checks()).settings
    except ConfigError as error:
        raise refused(error) from error
    for noted in notes(settings):
        output.note(f"note: {noted}")
    output.result(f"{file}: no mistake found")


@app.command()
def show(config: ConfigOption = None) -> None:
    """Print the settings in force, from FILE and the environment, as YAML."""
    from config.show import as_yaml  # noqa: PLC0415  # start-up time

    output.result(as_yaml(settings_as_written(config)))


@app.command()
def default() -> None:
    """Print every setting with its default and an explanation, as a file to begin with."""
    from importlib import resources  # noqa: PLC0415  # start-up time

    output.result(resources.files("config").joinpath("default.yml").read_text("utf-8"))
