"""How the server process is set up. Values only; times in seconds."""

from dataclasses import dataclass, field
from pathlib import Path

from registry.serving.limits import Limits


@dataclass(frozen=True, slots=True)
class TLS:
    """Files in PEM format; with `client_ca` only clients with a certificate of that authority may connect."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where to listen: `host` and `port` (0 for any free one), or a Unix socket at `unix_socket` with its file mode."""

    host: str = "127.0.0.1"
    port: int = 5000
    unix_socket: Path | None = None
    unix_socket_mode: int = 0o660
    workers: int = 1
    tls: TLS | None = None
    drain_timeout: float = 30.0
    keep_alive: float = 75.0
    upload_threads: int = 16
    limits: Limits = field(default_factory=Limits)
