"""Settings from a YAML file, then the environment, then flags; the later one wins. The only reader of the environment.

Each layer is checked by itself, so that a mistake is reported with the place where it was made: file, line and column,
variable, or flag.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from config.checks import Problem, problems
from config.names import ENVIRONMENT_PREFIX, SettingPath, dotted, holds_secret, nearest, setting_paths, variable
from config.positions import Document, Location, YamlError
from config.settings import Settings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


_MANY = {"tuple_type": "a list, `- …` a line for each entry", "dict_type": "a section, `NAME: …` a line for each entry"}
"""What pydantic's words for a wrong value mean in YAML."""


@dataclass(frozen=True, slots=True)
class Flag:
    """A value given on the command line by the flag `name` (`--listen`) for the setting at `path`."""

    name: str
    path: SettingPath
    value: object


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong and where: `where` is `FILE:LINE:COLUMN`, a variable or a flag."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ConfigError(ValueError):
    """The settings cannot be used; `mistakes` names each."""

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class _Layer:
    """One source of settings; `typed` if its values are more than text.

    `where` says where the value (or, if True, the name) at a path was written.
    """

    data: dict[str, Any]
    typed: bool
    where: Callable[[Location, bool], str]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each was written."""

    settings: Settings
    _layers: Sequence[_Layer]

    def where(self, path: Location) -> str:
        """`FILE:LINE:COLUMN`, variable or flag of the value that counts; empty if it is the default."""
        for layer in reversed(self._layers):
            value: Any = layer.data
            for part in path:
                value = _member(value, part)
            if value is not None:
                return layer.where(path, False)
        return ""


def read(
    file: Path | None = None,
    flags: Sequence[Flag] = (),
    *,
    environment: bool = True,
    checks: Sequence[Callable[[Settings], Iterable[Problem]]] = (problems,),
) -> Loaded:
    """The settings that `file`, the environment and `flags` make together, fit for what `checks` look at.

    Raises `ConfigError` with all mistakes of the first source that has any, or with all that the checks find.
    """
    layers: list[_Layer] = []
    if file is not None:
        layers.append(_from_file(file))
    if environment:
        layers.append(_from_environment(os.environ))
    layers.append(_from_flags(flags))

    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge(merged, _checked(layer).model_dump(exclude_unset=True))
    loaded = Loaded(Settings.model_validate(merged), layers)
    found = [
        Mistake(_origin(loaded, problem.path), problem.message)
        for check in checks
        for problem in check(loaded.settings)
    ]
    if found:
        raise ConfigError(*found)
    return loaded


def load(
    file: Path | None = None, flags: Sequence[Flag] = (), *, environment: bool = True, fitting: bool = True
) -> Settings:
    """As `read`, without the places. Who only reads the data need not ask that the values go with each other."""
    return read(file, flags, environment=environment, checks=(problems,) if fitting else ()).settings


def _from_file(file: Path) -> _Layer:
    try:
        document = Document(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(Mistake(str(file), f"cannot be read: {error.strerror}")) from error
    except UnicodeDecodeError as error:
        raise ConfigError(Mistake(str(file), "is not UTF-8 text")) from error
    except YamlError as error:
        raise ConfigError(Mistake(f"{file}:{error.line}:{error.column}", error.message)) from error

    def where(path: Location, of_name: bool) -> str:
        line, column = document.position(path, of_name=of_name)
        return f"{file}:{line}:{column}"

    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigError(Mistake(f"{file}:1:1", "a settings file holds sections, such as `server:` and `storage:`"))
    return _Layer(_without_empty_sections(data), typed=True, where=where)


def _from_environment(environ: Mapping[str, str]) -> _Layer:
    """Variables with `__` in their name are settings. Others are not ours: Kubernetes sets CARGOHOLD_SERVICE_HOST.

    But a name that only lacks an underscore was meant for us. An empty variable counts as not set.
    """
    known = {variable(path): path for path in setting_paths()}
    lacking = {name.replace("__", "_"): name for name in known}
    values: dict[SettingPath, object] = {}
    mistakes: list[Mistake] = []
    for name in sorted(name for name, value in environ.items() if name.startswith(ENVIRONMENT_PREFIX) and value):
        if name in known:
            values[known[name]] = environ[name]
        elif name in lacking:
            mistakes.append(Mistake(name, f"two underscores stand between section and name: {lacking[name]}"))
        elif "__" in name:
            meant = nearest(tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")))
            hint = f". Did you mean {variable(meant)}?" if meant else ""
            mistakes.append(Mistake(name, f"there is no such setting{hint}"))
    if mistakes:
        raise ConfigError(*mistakes)
    return _Layer(_tree(values), typed=False, where=lambda path, _: variable(_names(path)))


def _from_flags(flags: Sequence[Flag]) -> _Layer:
    names = {flag.path: flag.name for flag in flags}
    values = {flag.path: flag.value for flag in flags}
    return _Layer(_tree(values), typed=False, where=lambda path, _: names[_names(path)])


def _checked(layer: _Layer) -> Settings:
    try:
        return Settings.model_validate(layer.data, strict=None if layer.typed else False)
    except ValidationError as error:
        mistakes = [_mistake(detail, layer) for detail in error.errors()]
        raise ConfigError(*sorted(mistakes, key=_line)) from error


def _line(mistake: Mistake) -> list[int]:
    return [int(part) for part in mistake.where.split(":")[-2:] if part.isdigit()]


def _mistake(detail: "ErrorDetails", layer: _Layer) -> Mistake:
    path = detail["loc"]
    name = dotted(tuple(map(str, path)))
    if detail["type"] == "extra_forbidden":
        meant = nearest(_names(path))
        hint = f". Did you mean {dotted(meant)}?" if meant else ""
        return Mistake(layer.where(path, True), f"{name}: there is no such setting{hint}")
    if detail["type"] == "model_type":
        return Mistake(layer.where(path, False), f"{name}: is a section, its settings stand indented below it")
    if detail["type"] in _MANY:
        place = "" if layer.typed else ", which only a settings file can hold"
        return Mistake(layer.where(path, False), f"{name}: is {_MANY[detail['type']]}{place}")
    reason = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return Mistake(layer.where(path, False), f"{name}: {reason}{_found(detail)}")


def _found(detail: "ErrorDetails") -> str:
    """What was written instead, unless it is a secret or may have one in it."""
    value = detail["input"]
    if isinstance(value, dict) or holds_secret(_names(detail["loc"])):
        return ""
    return f" (found {value!r})"


def _origin(loaded: Loaded, path: Location) -> str:
    """Where the value that counts was given, and its name; the name alone if it is the default."""
    name, where = dotted(tuple(map(str, path))), loaded.where(path)
    return f"{where}: {name}" if where else name


def _member(value: Any, part: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    inside = isinstance(value, list) and isinstance(part, int) and part < len(value)
    return value[part] if inside else None


def _names(path: Location) -> SettingPath:
    return tuple(part for part in path if isinstance(part, str))


def _without_empty_sections(data: dict[str, Any]) -> dict[str, Any]:
    """Without the sections in which every line is commented out: YAML reads them as null."""
    kept = {name: _without_empty_sections(value) if isinstance(value, dict) else value for name, value in data.items()}
    return {name: value for name, value in kept.items() if value is not None}


def _tree(values: Mapping[SettingPath, object]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        section = tree
        for name in path[:-1]:
            section = section.setdefault(name, {})
        section[path[-1]] = value
    return tree


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        known = merged.get(name)
        merged[name] = _merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged
