"""How a registry elsewhere is reached, as values. Must not know how one speaks HTTP: every start reads the settings."""

from dataclasses import dataclass, field
from pathlib import Path

from registry.mirror.credentials import CredentialSource, Given
from registry.mirror.endpoints import Endpoint


@dataclass(frozen=True, slots=True)
class Patience:
    """How hard to try; times in seconds. `longest_wait` is the longest that a registry may tell us to wait."""

    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 30.0
    connect: float = 10.0
    silence: float = 30.0
    trickle: float = 300.0
    """How long a mebibyte of a blob may take, waiting for nothing but the registry."""
    storing: float = 900.0
    """How long a registry may be silent when it has got a blob: some read or copy it once more before they answer."""
    answer: float = 120.0
    """How long an answer that is no blob may take, however slowly it comes."""


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """A registry and how to reach it. Proxies come from the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY)."""

    endpoint: Endpoint
    credentials: CredentialSource = field(default_factory=Given)
    ca_file: Path | None = None
    """Further authorities; or a directory as those in docker's `certs.d`, with *.crt, and *.cert and *.key of ours."""
    verify_tls: bool = True
    patience: Patience = Patience()
    max_manifest_bytes: int = 4 * 1024 * 1024
    chunk_bytes: int = 0
    """Blobs are pushed in chunks of this size, for registries behind what refuses large requests; 0: whole."""
    counts_pulls: bool = True
    """If not, a registry of our kind is told that manifests are only looked at."""
