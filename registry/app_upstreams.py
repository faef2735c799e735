"""Registries elsewhere as the settings name them, and any other that somebody writes. Part of the composition root."""

from collections.abc import Iterator, Sequence

from config.checks import Problem
from config.settings import Settings
from config.upstreams import UpstreamSettings
from registry.mirror.credentials import (
    Command,
    Credentials,
    CredentialSource,
    DockerLogins,
    Given,
    PasswordFile,
    Remembered,
    login_files,
)
from registry.mirror.endpoints import Endpoint
from registry.mirror.upstream_options import Patience, UpstreamOptions


def upstream_problems(settings: Settings) -> Iterator[Problem]:
    """Upstreams that are at no place: a check for `config.load.read`."""
    for number, upstream in enumerate(settings.upstreams):
        try:
            Endpoint.parse(upstream.url, plain_http=upstream.plain_http)
        except ValueError as error:
            yield Problem(("upstreams", number, "url"), str(error))


def upstream_options(upstream: UpstreamSettings, patience: Patience) -> UpstreamOptions:
    """A registry of the settings. Raises `ValueError` if its URL is none."""
    endpoint = Endpoint.parse(upstream.url, plain_http=upstream.plain_http)
    return UpstreamOptions(
        endpoint,
        credentials=_credentials(upstream, endpoint),
        ca_file=upstream.ca_file,
        verify_tls=upstream.verify_tls,
        patience=patience,
        chunk_bytes=upstream.chunk_bytes,
    )


def options_for(
    place: str, upstreams: Sequence[UpstreamSettings], patience: Patience, *, plain_http: bool = False
) -> UpstreamOptions:
    """The registry that the settings call `place` or that lies there: `HOST[:PORT]`, or a URL. One that the settings
    don't know gets the logins that docker keeps. Raises `ValueError` if it is no registry.
    """
    for upstream in upstreams:
        if upstream.name == place:
            return upstream_options(upstream, patience)
    wanted = Endpoint.parse(place, plain_http=plain_http)
    for upstream in upstreams:
        if Endpoint.parse(upstream.url, plain_http=upstream.plain_http).host == wanted.host:
            return upstream_options(upstream, patience)
    return UpstreamOptions(wanted, _docker_logins(wanted), patience=patience)


def _credentials(upstream: UpstreamSettings, endpoint: Endpoint) -> CredentialSource:
    if upstream.credential_command:
        return Remembered(Command(upstream.credential_command, upstream.username))
    if upstream.password_file is not None:
        return PasswordFile(upstream.username, upstream.password_file)
    if upstream.username:
        return Given(Credentials(upstream.username, upstream.password.get_secret_value()))
    return _docker_logins(endpoint)


def _docker_logins(endpoint: Endpoint) -> CredentialSource:
    return Remembered(DockerLogins(endpoint.host, login_files()))
