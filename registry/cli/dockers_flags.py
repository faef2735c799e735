"""Flags as docker takes them: `--human=false`, `-q=true`. Knows typer's options, and no command."""

from collections.abc import Iterator, Mapping, Sequence

import typer
from typer.core import TyperCommand, TyperOption

_WORDS = {**dict.fromkeys(("1", "t", "true"), True), **dict.fromkeys(("0", "f", "false"), False)}


class DockersFlags(TyperCommand):
    """A command whose flags may be given a word that says yes or no."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's own type is private
        """See click's `Command`."""
        flags = {
            name: param
            for param in self.params
            if isinstance(param, TyperOption) and param.is_flag
            for name in param.opts
        }
        return super().parse_args(ctx, list(_plain(args, flags)))


def _plain(args: Sequence[str], flags: Mapping[str, TyperOption]) -> Iterator[str]:
    """The arguments with each flag alone, in the form that says what it was given; what is off anyway is left out."""
    for place, arg in enumerate(args):
        if arg == "--":
            yield from args[place:]
            return
        name, _, word = arg.partition("=")
        is_on = _WORDS.get(word.lower()) if name in flags else None
        if is_on is None:
            yield arg
        elif is_on:
            yield name
        else:
            yield from flags[name].secondary_opts[:1]
