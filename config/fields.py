"""The types that settings are made of: sizes, durations, addresses, words. Knows how a value is written, not why."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from config.addresses import parse_listen
from config.units import parse_duration, parse_mode, parse_size


def _size(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


def _duration(value: Any) -> Any:
    """Seconds, if it is written with a unit; anything else as it is."""
    return parse_duration(value) if isinstance(value, str) else value


def _mode(value: Any) -> Any:
    # a bare 0660 in YAML is a number already, and whether it was octal can no longer be seen
    return parse_mode(value if isinstance(value, str) else "")


def _words(value: Any) -> Any:
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _listen(text: str) -> str:
    parse_listen(text)
    return text


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError("write an address or a network, such as 10.0.0.5 or 10.0.0.0/8") from error
    return text


def _external_url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment):
        raise ValueError(
            "write http:// or https://, the host, and a path if there is one: https://registry.example.com"
        )
    return text


ByteCount = Annotated[int, BeforeValidator(_size), Field(ge=0)]
Seconds = Annotated[float, BeforeValidator(_duration), Field(gt=0, le=7 * 86400)]
AnySeconds = Annotated[float, BeforeValidator(_duration), Field(ge=0, le=3650 * 86400)]
LongSeconds = Annotated[float, BeforeValidator(_duration), Field(gt=0, le=3650 * 86400)]
FileMode = Annotated[int, BeforeValidator(_mode), PlainSerializer(lambda mode: f"{mode:04o}", return_type=str)]
FilePath = Annotated[Path, Field(strict=False)]
Listen = Annotated[str, AfterValidator(_listen)]
Network = Annotated[str, AfterValidator(_network)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_words), Field(strict=False)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words), Field(strict=False)]
Url = Annotated[str, AfterValidator(_external_url)]


class Section(BaseModel):
    """A part of the settings: frozen, and without room for anything that it does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
