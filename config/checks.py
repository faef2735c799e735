"""What settings have to fit together. Each problem names the setting to change and says what to do.

Knows settings only; `missing_files` is the one look at the world outside.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from config.addresses import TcpAddress
from config.names import SettingPath
from config.settings import Settings


@dataclass(frozen=True, slots=True)
class Problem:
    """A setting that does not go with the others."""

    path: SettingPath
    message: str


def problems(settings: Settings) -> Iterator[Problem]:
    """Everything that does not fit together."""
    yield from _access(settings)
    yield from _tls(settings)
    if settings.registry.catalog_page_size > settings.registry.max_page_size:
        yield Problem(
            ("registry", "catalog_page_size"),
            f"is larger than registry.max_page_size ({settings.registry.max_page_size}): make one fit the other",
        )


def missing_files(settings: Settings) -> Iterator[Problem]:
    """Files that the settings name and this process cannot read."""
    for name in ("certificate", "key", "client_ca"):
        path = getattr(settings.server.tls, name)
        if path is not None and not os.access(path, os.R_OK):
            reason = "cannot be read by this user" if path.exists() else "is not there"
            yield Problem(("server", "tls", name), f"{path} {reason}")


def _access(settings: Settings) -> Iterator[Problem]:
    address = settings.server.address
    if not isinstance(address, TcpAddress) or address.is_loopback:
        return
    if settings.access.allow_anonymous_writes or settings.server.tls.client_ca is not None:
        return
    yield Problem(
        ("server", "listen"),
        f"{address} can be reached from other machines, and no authentication is configured: anyone there could push"
        " and delete. Listen on 127.0.0.1 or on a Unix socket, ask for client certificates (server.tls.client_ca), or,"
        " if that is what you want, say so: access.allow_anonymous_writes: true, or --allow-anonymous-writes, or"
        " CARGOHOLD_ACCESS__ALLOW_ANONYMOUS_WRITES=true",
    )


def _tls(settings: Settings) -> Iterator[Problem]:
    tls = settings.server.tls
    if tls.certificate is not None and tls.key is None:
        yield Problem(("server", "tls", "certificate"), "needs its private key: set server.tls.key, too")
    if tls.key is not None and tls.certificate is None:
        yield Problem(("server", "tls", "key"), "needs its certificate: set server.tls.certificate, too")
    if tls.client_ca is not None and tls.certificate is None:
        yield Problem(
            ("server", "tls", "client_ca"),
            "asks for client certificates, which only TLS has: set server.tls.certificate and server.tls.key, too",
        )
