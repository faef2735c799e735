"""What the settings of a mirror may say."""

import pytest

from config.mirror import MirrorSettings, MirrorSourceSettings
from config.settings import Settings
from registry.app_mirror import mirror_problems

_HUB = (MirrorSourceSettings(prefix="hub", upstream="docker.io"),)


@pytest.mark.parametrize(
    ("sources", "default"),
    [(_HUB, ""), (_HUB, "hub"), (_HUB, "docker.io"), ((), "docker.io"), ((), "mirror/docker.io"), ((), "carried")],
)
def test_the_default_is_what_a_source_mirrors_or_a_bundle_brings(
    sources: tuple[MirrorSourceSettings, ...], default: str
) -> None:
    assert list(mirror_problems(Settings(mirror=MirrorSettings(sources=sources, default=default)))) == []


@pytest.mark.parametrize(
    ("sources", "default", "message"),
    [
        (_HUB, "hup", "hup is no prefix of mirror.sources"),
        (_HUB, "hub/", "is not a repository name"),
        ((), "docker.io/", "is not a repository name"),
        ((), "Hub", "is not a repository name"),
    ],
)
def test_a_default_that_leads_nowhere_is_named(
    sources: tuple[MirrorSourceSettings, ...], default: str, message: str
) -> None:
    [problem] = mirror_problems(Settings(mirror=MirrorSettings(sources=sources, default=default)))

    assert problem.path == ("mirror", "default")
    assert message in problem.message
