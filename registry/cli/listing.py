"""Lists in the form that `--format` asks for, as docker prints them: a table, JSON line by line, a template a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from registry.cli import output
from registry.cli.failure import MISUSED, Failure
from registry.cli.gotemplate import Record, Template, TemplateFailed, TemplateInvalid, parse

_TABLE = "table"


@dataclass(frozen=True, slots=True)
class Layout:
    """How to print rows; `head` has the name of each field that a row has."""

    template: Template
    head: Mapping[str, str]
    is_table: bool

    def show(self, rows: Sequence[Record]) -> None:
        """Print all rows. Raises `Failure` if the template does not fit one of them; nothing is printed then."""
        try:
            lines = [self.template.render(row) for row in rows]
            if self.is_table:
                lines = [self.template.head(Record(self.head)), *lines]
        except TemplateInvalid as error:
            raise Failure(f"--format: {error}", MISUSED) from error
        except TemplateFailed as error:
            raise Failure(f"--format: {error}") from error
        if self.is_table:
            output.columns(*(part.split("\t") for line in lines for part in line.split("\n")))
        else:
            for line in lines:
                output.result(line + "\n")


def layout(form: str | None, default: str, head: Mapping[str, str]) -> Layout:
    """Read what `--format` says; `default` is the template of the table. Raises `Failure`."""
    text = form or _TABLE
    first, _, rest = text.partition(" ")
    is_table = first == _TABLE
    if text == "json":
        text = "{{json .}}"
    elif is_table:
        text = rest.strip() or default
    return Layout(template("--format", text.replace("\\t", "\t").replace("\\n", "\n"), head), head, is_table)


def template(option: str, text: str, fields: Mapping[str, str] | Sequence[str]) -> Template:
    """A template for values with these fields. Raises `Failure`."""
    try:
        found = parse(text)
        found.check(list(fields))
    except TemplateInvalid as error:
        raise Failure(f"{option}: {error}", MISUSED) from error
    return found
