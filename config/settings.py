"""Every setting of the server: its name, its type with its unit, its default. The only place where a default stands.

Knows shapes and bounds of single values. What has to fit together is in `checks`; where values come from, in `load`.
"""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from config.addresses import ListenAddress, parse_listen
from config.units import parse_duration, parse_mode, parse_size

_KIB = 1024
_MIB = 1024 * 1024


def _size(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


def _duration(value: Any) -> Any:
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
FileMode = Annotated[int, BeforeValidator(_mode), PlainSerializer(lambda mode: f"{mode:04o}", return_type=str)]
FilePath = Annotated[Path, Field(strict=False)]
Listen = Annotated[str, AfterValidator(_listen)]
Network = Annotated[str, AfterValidator(_network)]
Url = Annotated[str, AfterValidator(_external_url)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TlsSettings(_Section):
    """Encryption. Without a certificate the server speaks plain HTTP."""

    certificate: FilePath | None = None
    key: FilePath | None = None
    client_ca: FilePath | None = None


class ServerSettings(_Section):
    """The process: where it listens, how many workers it has, what it grants a client."""

    listen: Listen = "127.0.0.1:5000"
    unix_socket_mode: FileMode = 0o660
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    drain_timeout_seconds: Seconds = 30
    keep_alive_seconds: Seconds = 75
    header_timeout_seconds: Seconds = 10
    body_timeout_seconds: Seconds = 60
    send_timeout_seconds: Seconds = 60
    max_header_bytes: Annotated[ByteCount, Field(ge=1024)] = 64 * _KIB
    max_connections: Annotated[int, Field(ge=1)] = 1000
    max_uploads: Annotated[int, Field(ge=1)] = 64
    upload_threads: Annotated[int, Field(ge=1, le=256)] = 16
    tls: TlsSettings = TlsSettings()

    @property
    def address(self) -> ListenAddress:
        """`listen` as a value."""
        return parse_listen(self.listen)


class HttpSettings(_Section):
    """The URLs that answers point to, and the proxies in front of the server."""

    relative_locations: bool = True
    external_url: Url = ""
    trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(_words), Field(strict=False)] = ()


class StorageSettings(_Section):
    """Where the data lies."""

    root: FilePath = Path("data")


class RegistrySettings(_Section):
    """What may be stored, and how lists are paged. Page sizes are in entries."""

    max_manifest_bytes: Annotated[ByteCount, Field(ge=_KIB)] = 4 * _MIB
    max_blob_bytes: ByteCount = 0
    check_references: bool = True
    allow_sparse_indexes: bool = False
    allow_foreign_layers: bool = True
    allow_delete: bool = True
    catalog_page_size: Annotated[int, Field(ge=1)] = 100
    max_page_size: Annotated[int, Field(ge=1)] = 10_000


class AccessSettings(_Section):
    """Who may write."""

    allow_anonymous_writes: bool = False


class LogSettings(_Section):
    """What is logged, and how."""

    format: Literal["auto", "text", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"
    access: bool = True


class Settings(_Section):
    """All settings. `Settings()` is the defaults; it reads no file and no environment."""

    server: ServerSettings = ServerSettings()
    http: HttpSettings = HttpSettings()
    storage: StorageSettings = StorageSettings()
    registry: RegistrySettings = RegistrySettings()
    access: AccessSettings = AccessSettings()
    log: LogSettings = LogSettings()
