"""Where to listen, as a value. Pure."""

import ipaddress
import re
from dataclasses import dataclass

_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_SOCKET_PATH_BYTES = 107
"""What `sockaddr_un` holds besides the NUL at its end."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host (name or address, without brackets) and a port; port 0 lets the kernel choose."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach it. A host name counts as reachable from outside, but for `localhost`."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a Unix socket. Who may connect is decided by the rights of its file."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


ListenAddress = TcpAddress | UnixAddress


def parse_listen(text: str) -> ListenAddress:
    """`HOST:PORT`, `[v6]:PORT` or `unix:/path`. Raises `ValueError` with what is wrong."""
    if text.startswith("unix:"):
        return _unix(text.removeprefix("unix:"))
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or int(port) > 65535:
        raise ValueError("write HOST:PORT with a port up to 65535, such as 127.0.0.1:5000, or unix:/run/cargohold.sock")
    if not host:
        raise ValueError(
            f"the host is missing: write 127.0.0.1:{port} for this machine, 0.0.0.0:{port} for all networks"
        )
    if host.startswith("[") and host.endswith("]"):
        return TcpAddress(str(ipaddress.IPv6Address(host[1:-1])), int(port))
    if ":" in host:
        raise ValueError(f"write an IPv6 address in brackets: [{host}]:{port}")
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(f"{host!r} is neither an address nor a host name")
    return TcpAddress(host, int(port))


def _unix(path: str) -> UnixAddress:
    if not path.startswith("/"):
        raise ValueError("write the whole path of the socket, such as unix:/run/cargohold.sock")
    if len(path.encode()) > _SOCKET_PATH_BYTES or "\0" in path:
        raise ValueError(f"the path of a Unix socket may have {_SOCKET_PATH_BYTES} bytes at most")
    return UnixAddress(path)
