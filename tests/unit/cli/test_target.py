"""Where a command acts: on a storage or on a registry, and what it says if that cannot be told."""

from pathlib import Path

import pytest

from registry.cli.failure import MISUSED, Failure
from registry.cli.target import Opened, TargetOptions, act, parse_image
from registry.content.errors import ManifestUnknown
from registry.content.names import RepositoryName, Tag
from registry.mirror.errors import UpstreamDenied
from tests.live_server import live_server


async def _host(opened: Opened) -> tuple[str, bool]:
    return opened.host, opened.backend is not None


async def _look(opened: Opened) -> object:
    return await opened.place.resolve(RepositoryName("team/app"), Tag("v1"))


def test_without_a_host_it_acts_on_the_storage(tmp_path: Path) -> None:
    assert act(TargetOptions(root=tmp_path), [parse_image("team/app")], _host) == ("", True)


@pytest.mark.parametrize(
    ("url", "image"), [(None, "127.0.0.1:9/app"), ("127.0.0.1:9", "app"), ("http://127.0.0.1:9", "app")]
)
def test_with_a_host_or_a_url_it_acts_on_a_registry(url: str | None, image: str) -> None:
    assert act(TargetOptions(url=url), [parse_image(image)], _host) == ("127.0.0.1:9", False)


@pytest.mark.parametrize(
    ("options", "images", "message"),
    [
        (TargetOptions(url="127.0.0.1:9"), ["127.0.0.1:9/app"], "keep one of them"),
        (TargetOptions(url="127.0.0.1:9", root=Path("/x")), ["app"], "keep one of them"),
        (TargetOptions(), ["127.0.0.1:9/app", "127.0.0.1:10/app"], "in one place"),
        (TargetOptions(root=Path("/nowhere/at/all")), ["app"], "name the directory of the data with --root"),
        (TargetOptions(url="https://host/path"), [], "has a path"),
    ],
)
def test_what_cannot_be_told_is_said_with_what_to_do(options: TargetOptions, images: list[str], message: str) -> None:
    with pytest.raises(Failure, match=message) as raised:
        act(options, [parse_image(image) for image in images], _host)
    assert raised.value.code == MISUSED


def test_an_image_that_cannot_be_read_is_quoted() -> None:
    with pytest.raises(Failure, match=r"^App: .*lower-case"):
        parse_image("App")


def test_nobody_there_is_one_message() -> None:
    with pytest.raises(Failure, match="cannot be reached"):
        act(TargetOptions(url="127.0.0.1:9"), [], _look)


@pytest.mark.parametrize(
    ("error", "message"), [(UpstreamDenied("no"), "docker login"), (ManifestUnknown("gone"), "gone")]
)
def test_errors_of_a_place_become_one_message(tmp_path: Path, error: Exception, message: str) -> None:
    async def fail(_: Opened) -> None:
        raise error

    with pytest.raises(Failure, match=message):
        act(TargetOptions(root=tmp_path), [], fail)


def test_a_running_registry_answers(tmp_path: Path) -> None:
    with live_server(tmp_path) as server, pytest.raises(Failure, match="v1 is not in repository team/app"):
        act(TargetOptions(url=server.url), [], _look)
