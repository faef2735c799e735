"""`cargohold lists`: the images that files name, for `cargohold sync` and `cargohold bundle create`."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from registry.cli import output
from registry.cli.failure import MISUSED, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.documents import Value
    from registry.mirror.lists import Images

Kind = Literal["auto", "compose", "kubernetes", "dockerfile"]
_STDIN = "-"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Alone in a line of a `.env` file it stands for what the environment has, which is never asked here."""
_VALUE = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|(.*?))\s*(?:\s#.*)?""")


def lists(  # noqa: PLR0917  # the command line gives them by name
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Files to read; - is standard input.")],
    kind: Annotated[Kind, typer.Option("--kind", help="What the files are, where that cannot be seen.")] = "auto",
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A variable, or a build argument; may be repeated."),
    ] = None,
    env_file: Annotated[
        Path | None, typer.Option("--env-file", metavar="FILE", help="Variables, a line each, as compose reads .env.")
    ] = None,
    as_written: Annotated[
        bool,
        typer.Option("--as-written", help="Leave names as they are; else nginx is docker.io/library/nginx:latest."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the images that compose files, Kubernetes manifests and Dockerfiles name, one a line, each once.

    A rendered Helm chart is Kubernetes manifests on standard input. Of a Dockerfile all stages count, with what they
    copy from. What cannot be told, such as a variable without a value, is a warning with file and line.

    \b
    Examples:
      cargohold lists compose.yaml Dockerfile > images.txt
      helm template my-chart | cargohold lists -
      cargohold lists deploy/*.yaml --json
      cargohold lists compose.yaml --set TAG=1.4 --env-file .env

    Exit code 2 if a file cannot be read.
    """
    from registry.mirror.lists import Images  # noqa: PLC0415  # start-up time

    known = {**(_from_file(env_file) if env_file else {}), **dict(_pair("--set", text) for text in values or [])}
    images = Images(as_docker=not as_written)
    for file in files:
        _read(images, file, kind, known)
    for warned in images.warnings:
        output.note(f"{warned.place}: {warned.message}")
    if as_json:
        output.json_result(_document(images))
    elif images.named:
        output.result("\n".join(images.named))


def _read(images: "Images", file: str, kind: Kind, values: "Mapping[str, str]") -> None:
    from registry.mirror.lists_dockerfile import read_dockerfile  # noqa: PLC0415  # start-up time

    text = _text(file)
    if kind == "dockerfile" or (kind == "auto" and _is_dockerfile(file, text)):
        read_dockerfile(images, file, text, values)
        return
    for document in _documents(file, text):
        _read_document(images, file, kind, document, values)


def _read_document(images: "Images", file: str, kind: Kind, document: "Value", values: "Mapping[str, str]") -> None:
    from registry.mirror.lists import Place  # noqa: PLC0415  # start-up time
    from registry.mirror.lists_compose import is_compose, read_compose  # noqa: PLC0415
    from registry.mirror.lists_kubernetes import is_kubernetes, read_kubernetes  # noqa: PLC0415

    if kind != "kubernetes" and is_compose(document):
        read_compose(images, file, document, values)
    elif kind != "compose" and is_kubernetes(document):
        read_kubernetes(images, file, document, values)
    else:
        images.warn(Place(file, 1), "there is a document that is no compose file and no Kubernetes manifest")


def _documents(file: str, text: str) -> "list[Value]":
    from config.documents import read_documents  # noqa: PLC0415  # start-up time
    from config.positions import YamlError  # noqa: PLC0415

    try:
        return read_documents(text)
    except YamlError as error:
        hint = (
            "; a Helm chart has to be rendered first: helm template CHART | cargohold lists -" if "{{" in text else ""
        )
        raise Failure(f"{file}:{error.line}:{error.column}: {error.message}{hint}", MISUSED) from error


def _text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == _STDIN else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}", MISUSED) from error
    except UnicodeDecodeError as error:
        raise Failure(f"{file} is not UTF-8 text", MISUSED) from error


def _is_dockerfile(file: str, text: str) -> bool:
    """True if the name says so, or if its first instruction is one that a Dockerfile begins with."""
    from registry.mirror.lists_dockerfile import instructions  # noqa: PLC0415  # start-up time

    name = Path(file).name.lower()
    if name.endswith((".yml", ".yaml", ".json")):
        return False
    first = next(instructions(text), None)
    return name.startswith(("dockerfile", "containerfile")) or (first is not None and first.name in ("FROM", "ARG"))


def _from_file(file: Path) -> "dict[str, str]":
    lines = [line.strip().removeprefix("export ") for line in _text(str(file)).splitlines()]
    said = [line for line in lines if line and not line.startswith("#") and not _NAME.fullmatch(line)]
    pairs = [_pair(str(file), line) for line in said]
    return {name: _unquoted(value) for name, value in pairs}


def _unquoted(value: str) -> str:
    """A value of a `.env` file without quotes and without the comment behind it."""
    match = _VALUE.fullmatch(value)
    return next((text for text in match.groups() if text is not None), "") if match else value


def _pair(where: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise Failure(f"{where}: {text!r} is no NAME=VALUE", MISUSED)
    return name.strip(), value


def _document(images: "Images") -> dict[str, object]:
    named = [
        {
            "image": name,
            "guessed": found.guessed,
            "places": [{"file": place.file, "line": place.line} for place in found.places],
        }
        for name, found in images.named.items()
    ]
    warnings = [
        {"file": warned.place.file, "line": warned.place.line, "message": warned.message} for warned in images.warnings
    ]
    return {"images": named, "warnings": warnings}
