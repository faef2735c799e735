"""The docs are complete, and speak of nothing that is not there."""

import re
from collections.abc import Iterator
from functools import reduce

import pytest
import typer
from pydantic import BaseModel

from config.names import dotted, setting_paths, variable
from config.settings import Settings
from config.units import parse_size
from registry.cli.main import app
from registry.ops.metrics import Metrics
from tests.architecture.places import DOCS, ROOT

SETTINGS_PAGE = (ROOT / "docs/settings.md").read_text("utf-8")
CLI_PAGE = (ROOT / "docs/cli.md").read_text("utf-8")
METRICS_PAGE = (ROOT / "docs/metrics.md").read_text("utf-8")
SETTINGS = {dotted(path): path for path in setting_paths()}


def default_of(path: tuple[str, ...]) -> object:
    model: BaseModel = reduce(getattr, path[:-1], Settings())  # the section
    return model.model_dump(mode="json")[path[-1]]


def as_documented(text: str) -> object:
    """The value that a default in the table stands for."""
    if text == "none":
        return None
    word = text.strip("`")
    known: dict[str, object] = {"true": True, "false": False, "[]": [], "{}": {}, '""': ""}
    if word in known:
        return known[word]
    if re.fullmatch(r"[0-9]+(?:[KMG]iB)?", word):
        return parse_size(word)
    if re.fullmatch(r"[0-9]+\.[0-9]+", word):
        return float(word)
    return word.strip('"').removeprefix("./")


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_is_documented_with_its_default(name: str) -> None:
    row = re.search(rf"^\| `{re.escape(name)}` \| (.+?) \| .+ \|$", SETTINGS_PAGE, re.MULTILINE)

    assert row is not None, f"{name} has no row in docs/settings.md"
    assert as_documented(row[1]) == default_of(SETTINGS[name])


def test_no_setting_is_documented_that_is_not_there() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \|", SETTINGS_PAGE, re.MULTILINE)

    assert [name for name in rows if name not in SETTINGS] == []


def test_variables_that_any_page_or_packaging_file_names_are_there() -> None:
    files = [*DOCS, ROOT / "Dockerfile", ROOT / "compose.yaml", *(ROOT / "config").rglob("*.yml")]
    variables = {variable(path) for path in setting_paths()}

    unknown = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in files
        for name in re.findall(r"CARGOHOLD_[A-Z]+__[A-Z0-9_]+", file.read_text("utf-8"))
        if name not in variables and name != "CARGOHOLD_SECTION__NAME"
    ]

    assert unknown == []


def test_each_metric_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| `(cargohold_[a-z_]+)` \|", METRICS_PAGE, re.MULTILINE)

    named = re.findall(r"^# HELP (\S+)", Metrics("1.0").text().decode(), re.MULTILINE)

    assert sorted(documented) == sorted(named)


def test_each_event_of_mirroring_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| `([a-z_]+)` \|", METRICS_PAGE, re.MULTILINE)

    counted = {
        event.replace(" ", "_")
        for file in (ROOT / "registry/mirror").rglob("*.py")
        for event in re.findall(r"\.count\(\"([a-z ]+)\"", file.read_text("utf-8"))
    }

    events = [name for name in documented if not name.startswith("cargohold_")]
    assert sorted(events) == sorted(counted - {"bytes_fetched"})


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command with its options, in all their spellings."""
    group = typer.main.get_command(app)
    pending = [("", group)]
    while pending:
        name, command = pending.pop()
        for below, found in getattr(command, "commands", {}).items():
            pending.append((f"{name} {below}".strip(), found))
        spellings = [each for option in command.params for each in (*option.opts, *option.secondary_opts)]
        yield name, [spelling for spelling in spellings if spelling[0] == "-"]


COMMANDS = dict(commands())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_documented_with_its_options(command: str) -> None:
    section = CLI_PAGE
    if command:
        found = re.search(rf"^## {command.split(maxsplit=1)[0]}\n(.*?)(?=^## |\Z)", CLI_PAGE, re.MULTILINE | re.DOTALL)
        assert found is not None, f"`cargohold {command}` has no section in docs/cli.md"
        section = found[1]
        assert f"cargohold {command}" in section

    assert [option for option in COMMANDS[command] if f"{option}" not in section] == []


def test_commands_that_any_page_shows_exist_with_their_options() -> None:
    wrong = []
    for file in DOCS:
        for line in re.findall(r"^ {4}(?:\S*/)?cargohold (.+)$", file.read_text("utf-8"), re.MULTILINE):
            words = line.split("#")[0].split(">")[0].split()
            named = next((" ".join(words[:n]) for n in (3, 2, 1) if " ".join(words[:n]) in COMMANDS), "")
            options = {word.split("=")[0] for word in words if word.startswith("-")}
            if not options <= {*COMMANDS[named], "--help"} and "COMMAND" not in line:
                wrong.append(f"{file.name}: cargohold {line}")
            if not named and not words[0].startswith(("-", "[")):
                wrong.append(f"{file.name}: cargohold {line}")

    assert wrong == []


def test_examples_for_nginx_pass_uploads_on_as_they_come() -> None:
    """With HTTP/1.0 towards us, its default, nginx keeps a chunked body until its end, whatever else is said."""
    pages = [file.read_text("utf-8") for file in (*DOCS, *(ROOT / "config/examples").glob("*.yml"))]
    examples = [found for page in pages for found in re.findall(r"location / \{.*?\}", page, re.DOTALL)]

    assert len(examples) == 2
    for example in examples:
        assert "proxy_http_version 1.1;" in example
        assert "proxy_request_buffering off;" in example


def test_every_page_is_listed() -> None:
    index = (ROOT / "docs/index.md").read_text("utf-8")

    assert [
        file.name for file in DOCS if file.parent.name == "docs" and file.name not in index and file.stem != "index"
    ] == []


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        f"{file.name}: {target}"
        for file in DOCS
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text("utf-8"))
        if not (file.parent / target).exists()
    ]

    assert broken == []
