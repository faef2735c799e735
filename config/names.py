"""The names of all settings, as `server.listen` and as `CARGOHOLD_SERVER__LISTEN`, and the nearest to a wrong one."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from config.settings import Settings

ENVIRONMENT_PREFIX = "CARGOHOLD_"
SettingPath = tuple[str, ...]


def setting_paths(model: type[BaseModel] = Settings, above: SettingPath = ()) -> Iterator[SettingPath]:
    """The path of each setting, in the order of the models."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from setting_paths(kind, (*above, name))
        else:
            yield (*above, name)


def holds_secret(path: SettingPath) -> bool:
    """True if the setting or section at `path` is a secret, or has one in it. Numbers of entries are not in `path`."""
    kind: Any = Settings
    for name in path:
        kind = next(
            (model.model_fields[name].annotation for model in _models(kind) if name in model.model_fields), None
        )
    return _is_secret(kind)


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    """The sections that a type is, or is made of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for part in get_args(kind):
        yield from _models(part)


def _is_secret(kind: Any) -> bool:
    inside = (field.annotation for model in _models(kind) for field in model.model_fields.values())
    return kind is SecretStr or any(map(_is_secret, inside))


def dotted(path: SettingPath) -> str:
    """`server.listen`."""
    return ".".join(path)


def variable(path: SettingPath) -> str:
    """`CARGOHOLD_SERVER__LISTEN`."""
    return ENVIRONMENT_PREFIX + "__".join(path).upper()


def nearest(path: SettingPath) -> SettingPath | None:
    """The setting or section that somebody who wrote `path` may have meant: in the same section, else in any other."""
    import difflib  # noqa: PLC0415  # start-up time: only needed when something is wrong

    known = sorted({name[:depth] for name in setting_paths() for depth in range(1, len(name) + 1)})
    siblings = {name[-1]: name for name in known if name[:-1] == path[:-1]}
    if found := difflib.get_close_matches(path[-1], siblings, 1, 0.7):
        return siblings[found[0]]
    elsewhere = {name[-1]: name for name in known}
    if found := difflib.get_close_matches(path[-1], elsewhere, 1, 0.8):
        return elsewhere[found[0]]
    return None
