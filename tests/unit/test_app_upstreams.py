"""Registries elsewhere as the settings name them: by their name, host or URL, each with its own login."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import Settings
from config.upstreams import UpstreamSettings
from registry.app_upstreams import options_for, upstream_problems
from registry.mirror.credentials import Command, Credentials, DockerLogins, PasswordFile, Remembered
from registry.mirror.upstream_options import Patience

_UPSTREAMS = (
    UpstreamSettings(name="hub", url="docker.io", username="me", password=SecretStr("secret")),
    UpstreamSettings(name="lan", url="registry.lan:5000", plain_http=True, ca_file=Path("/ca.pem"), chunk_bytes=7),
    UpstreamSettings(name="ecr", url="https://1.ecr.test", username="AWS", credential_command=("aws", "login")),
    UpstreamSettings(name="file", url="file.test", username="me", password_file=Path("/password")),
)


@pytest.mark.parametrize("place", ["hub", "docker.io", "https://index.docker.io", "registry-1.docker.io"])
async def test_a_registry_is_found_by_each_of_its_names(place: str) -> None:
    found = options_for(place, _UPSTREAMS, Patience())

    assert found.endpoint.url == "https://registry-1.docker.io"
    assert await found.credentials.get() == Credentials("me", "secret")


@pytest.mark.parametrize(
    ("place", "url", "kind"),
    [
        ("lan", "http://registry.lan:5000", DockerLogins),
        ("1.ecr.test", "https://1.ecr.test", Command),
        ("file.test", "https://file.test", PasswordFile),
        ("unknown.test", "https://unknown.test", DockerLogins),
    ],
)
def test_each_has_its_own_way_to_log_in(place: str, url: str, kind: type) -> None:
    found = options_for(place, _UPSTREAMS, Patience())

    assert found.endpoint.url == url
    source = found.credentials.source if isinstance(found.credentials, Remembered) else found.credentials
    assert isinstance(source, kind)


def test_what_the_settings_say_of_a_registry_is_kept() -> None:
    found = options_for("registry.lan:5000", _UPSTREAMS, Patience())

    assert (found.ca_file, found.chunk_bytes, found.verify_tls) == (Path("/ca.pem"), 7, True)


def test_an_upstream_that_is_nowhere_is_named_with_its_place() -> None:
    settings = Settings(upstreams=(_UPSTREAMS[0], UpstreamSettings(name="x", url="https://x.test/path")))

    [problem] = upstream_problems(settings)

    assert problem.path == ("upstreams", 1, "url")
    assert "has a path" in problem.message
