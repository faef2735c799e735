"""The HTTP client for a registry elsewhere. Knows httpx and TLS; must not know what is asked for."""

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import httpcore
import httpx

from registry import __version__
from registry.mirror.errors import CredentialsInvalid
from registry.mirror.upstream_options import UpstreamOptions

_IDLE_CONNECTIONS = 16
# httpcore reads 64 KiB at a time, and what that costs each time is most of what a download costs
httpcore.AsyncHTTP11Connection.READ_NUM_BYTES = 1024 * 1024


def new_client(options: UpstreamOptions) -> httpx.AsyncClient:
    """The HTTP client for a registry. Raises `CredentialsInvalid` if the file of authorities cannot be read."""
    patience = options.patience
    looks = {} if options.counts_pulls else {"Cargohold-Pull": "no"}
    return httpx.AsyncClient(
        verify=_tls(options),
        timeout=httpx.Timeout(patience.silence, connect=patience.connect, pool=None),
        # who asks bounds how much is asked at a time: a limit here could make a copy wait for itself
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=_IDLE_CONNECTIONS),
        headers={"User-Agent": f"cargohold/{__version__}", "Accept-Encoding": "identity", **looks},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none: each request brings its own login
        # no proxy is asked for what runs on this machine
        mounts={"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None},
    )


def _tls(options: UpstreamOptions) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        for path in _authorities(options.ca_file):
            context.load_verify_locations(path)
        for path in _client_certificates(options.ca_file):
            context.load_cert_chain(path, path.with_suffix(".key"))
    except (OSError, ssl.SSLError) as error:
        raise CredentialsInvalid(f"the certificates in {options.ca_file} cannot be read: {error}") from error
    if not options.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _authorities(place: Path | None) -> list[Path]:
    if place is None:
        return []
    return sorted(place.glob("*.crt")) if place.is_dir() else [place]


def _client_certificates(place: Path | None) -> list[Path]:
    return sorted(place.glob("*.cert")) if place is not None and place.is_dir() else []
