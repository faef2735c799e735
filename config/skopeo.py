"""Reads the YAML files of `skopeo sync --src yaml`, as upstreams and copies of ours. Source: skopeo-sync(1).

All scalars are read as the text that stands there: `1.10` is a tag, not a number.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from config.load import ConfigError, Mistake
from config.sync import CopySettings
from config.upstreams import UpstreamSettings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


_GO = re.compile(r"\[:(\^?[a-z]+):\]|\\.", re.DOTALL)
_CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "digit": "0-9", "lower": "a-z", "upper": "A-Z", "xdigit": "0-9A-Fa-f",
    "word": r"\w", "punct": r"!-/:-@\[-`{-~", "^digit": r"\D", "^word": r"\W",
    r"\z": r"\Z",
}  # fmt: skip
"""What means the same here: classes of what may stand in a tag, and the end."""
_OPERATORS = re.compile(r"~>|=>|=<")
_AS_OURS = {"~>": "~", "=>": ">=", "=<": "<="}


def _none_is_empty(kind: type) -> BeforeValidator:
    """`redis:` with nothing behind it is as `redis: []`."""
    return BeforeValidator(lambda value: kind() if value in ("", None) else value)


_Tags = Annotated[tuple[str, ...], _none_is_empty(tuple)]


class _Credentials(BaseModel):
    username: str
    password: SecretStr


class _Host(BaseModel):
    """What the file says of one registry."""

    model_config = ConfigDict(extra="forbid")

    images: Annotated[dict[str, _Tags], _none_is_empty(dict)] = Field(default_factory=dict)
    images_by_tag_regex: Annotated[dict[str, str], _none_is_empty(dict), Field(alias="images-by-tag-regex")] = Field(
        default_factory=dict
    )
    images_by_semver: Annotated[dict[str, str], _none_is_empty(dict), Field(alias="images-by-semver")] = Field(
        default_factory=dict
    )
    credentials: _Credentials | None = None
    tls_verify: Annotated[bool, Field(alias="tls-verify")] = True
    cert_dir: Annotated[Path | None, Field(alias="cert-dir")] = None


def read_skopeo(
    file: Path, target: str, *, platforms: Sequence[str] = (), referrers: bool = True
) -> tuple[list[UpstreamSettings], list[CopySettings]]:
    """The registries that a file names, and what to bring from them to `target`. Raises `ConfigError`."""
    upstreams: list[UpstreamSettings] = []
    copies: list[CopySettings] = []
    for host, said in _hosts(file).items():
        upstreams.append(_upstream(host, said))
        for name, chosen in _chosen(said):
            official = host == "docker.io" and "/" not in name
            copies.append(
                CopySettings.model_validate(
                    {
                        "source": host,
                        "target": target,
                        "repositories": [f"library/{name}" if official else name],
                        "platforms": list(platforms),
                        "referrers": referrers,
                        **chosen,
                    }
                )
            )
    return upstreams, copies


def _chosen(said: _Host) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, tags in said.images.items():
        yield name, {"tags": list(tags)}
    for name, expression in said.images_by_tag_regex.items():
        yield name, {"tags": [f"/{_as_ours(expression)}/"]}
    for name, versions in said.images_by_semver.items():
        yield name, {"semver": _OPERATORS.sub(lambda match: _AS_OURS[match[0]], versions)}


def _as_ours(expression: str) -> str:
    """An expression of Go, whose words for characters and for the end of a text are others than ours."""
    return _GO.sub(lambda match: _CLASSES.get(match[1] or match[0], match[0]), expression)


def _upstream(host: str, said: _Host) -> UpstreamSettings:
    credentials = said.credentials
    return UpstreamSettings(
        name=host,
        url=host,
        username=credentials.username if credentials else "",
        password=credentials.password if credentials else SecretStr(""),
        ca_file=said.cert_dir,
        verify_tls=said.tls_verify,
    )


def _hosts(file: Path) -> dict[str, _Host]:
    try:
        document = yaml.load(file.read_text("utf-8"), yaml.BaseLoader)  # noqa: S506  # makes text, lists and maps only
        return TypeAdapter(dict[str, _Host]).validate_python({} if document in (None, "") else document)
    except OSError as error:
        raise ConfigError(Mistake(str(file), f"cannot be read: {error.strerror}")) from error
    except UnicodeDecodeError as error:
        raise ConfigError(Mistake(str(file), "is not UTF-8 text")) from error
    except yaml.MarkedYAMLError as error:  # whose text quotes the line, and that may be one with a password
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(Mistake(f"{file}{line}", f"is not YAML: {error.problem}")) from error
    except yaml.YAMLError as error:
        raise ConfigError(Mistake(str(file), f"is not YAML: {error}")) from error
    except RecursionError as error:
        raise ConfigError(Mistake(str(file), "is not YAML that can be read: it goes too deep")) from error
    except ValidationError as error:
        raise ConfigError(
            *(
                Mistake(str(file), f"{'.'.join(map(str, detail['loc'])) or 'the file'}: {_problem(detail)}")
                for detail in error.errors()
            )
        ) from error


def _problem(detail: "ErrorDetails") -> str:
    if detail["type"] == "extra_forbidden":
        known = ", ".join(field.alias or name for name, field in _Host.model_fields.items())
        return f"skopeo knows no such key; there are {known}"
    return detail["msg"]
