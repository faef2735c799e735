"""Every setting of the server: its name, its type with its unit, its default. The only place where a default stands.

Knows shapes and bounds of single values. What has to fit together is in `checks`; where values come from, in `load`;
who is who and who may do what, in `auth` and `access`; where the data lies, in `storage`; registries elsewhere, in
`upstreams`; what mirrors them, in `mirror`; what is brought from there, in `sync`.
"""

from typing import Annotated, Literal

from pydantic import Field

from config.access import AccessSettings
from config.addresses import ListenAddress, parse_listen
from config.auth import AuthSettings
from config.cleanup import CleanupSettings
from config.fields import ByteCount, FileMode, FilePath, Listen, Networks, Seconds, Section, Url
from config.mirror import MirrorSettings
from config.retention import RetentionSettings
from config.storage import StorageSettings
from config.sync import SyncSettings
from config.upstreams import UpstreamSettings

_KIB = 1024
_MIB = 1024 * 1024


class TlsSettings(Section):
    """Encryption. Without a certificate the server speaks plain HTTP."""

    certificate: FilePath | None = None
    key: FilePath | None = None
    client_ca: FilePath | None = None


class ServerSettings(Section):
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


class HttpSettings(Section):
    """The URLs that answers point to, and the proxies in front of the server."""

    relative_locations: bool = True
    external_url: Url = ""
    trusted_proxies: Networks = ()


class RegistrySettings(Section):
    """What may be stored, and how lists are paged. Page sizes are in entries."""

    max_manifest_bytes: Annotated[ByteCount, Field(ge=_KIB)] = 4 * _MIB
    max_blob_bytes: ByteCount = 0
    check_references: bool = True
    allow_sparse_indexes: bool = False
    allow_foreign_layers: bool = True
    allow_delete: bool = True
    catalog_page_size: Annotated[int, Field(ge=1)] = 100
    max_page_size: Annotated[int, Field(ge=1)] = 10_000


class LogSettings(Section):
    """What is logged, and how."""

    format: Literal["auto", "text", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"
    access: bool = True
    audit: str = "auto"


class MetricsSettings(Section):
    """Counts for Prometheus, at `/metrics`."""

    networks: Networks = ()


class Settings(Section):
    """All settings. `Settings()` is the defaults; it reads no file and no environment."""

    server: ServerSettings = ServerSettings()
    http: HttpSettings = HttpSettings()
    storage: StorageSettings = StorageSettings()
    registry: RegistrySettings = RegistrySettings()
    cleanup: CleanupSettings = CleanupSettings()
    retention: RetentionSettings = RetentionSettings()
    auth: AuthSettings = AuthSettings()
    access: AccessSettings = AccessSettings()
    upstreams: Annotated[tuple[UpstreamSettings, ...], Field(strict=False)] = ()
    mirror: MirrorSettings = MirrorSettings()
    sync: SyncSettings = SyncSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
