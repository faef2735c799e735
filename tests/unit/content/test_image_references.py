"""Image references: read as docker reads them."""

import pytest

from registry.content.errors import ContentError
from registry.content.image_references import ImageReference, host_in_name, is_host
from registry.content.names import is_name

_HEX = "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "name", "tag"),
    [
        ("alpine", "", "alpine", None),
        ("alpine:3.20", "", "alpine", "3.20"),
        ("team/app:v1", "", "team/app", "v1"),
        ("localhost/app", "localhost", "app", None),
        ("localhost:5000/app:v1", "localhost:5000", "app", "v1"),
        ("127.0.0.1:5000/team/app", "127.0.0.1:5000", "team/app", None),
        ("[::1]:5000/team/app:v1", "[::1]:5000", "team/app", "v1"),
        ("docker.io/library/alpine", "docker.io", "library/alpine", None),
        ("Registry/app", "Registry", "app", None),
        ("registry.example.com:443/a/b/c:x", "registry.example.com:443", "a/b/c", "x"),
    ],
)
def test_a_host_is_told_from_a_repository_as_docker_does(text: str, host: str, name: str, tag: str | None) -> None:
    found = ImageReference.parse(text)

    assert (found.host, found.name, found.tag) == (host, name, tag)
    assert str(found) == text
    assert str(found.reference) == (tag or "latest")


@pytest.mark.parametrize("text", [f"app@sha256:{_HEX}", f"host:1/app:v1@sha256:{_HEX}"])
def test_a_digest_counts_more_than_a_tag(text: str) -> None:
    assert str(ImageReference.parse(text).reference) == f"sha256:{_HEX}"
    assert str(ImageReference.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "docker"),
    [
        ("alpine", "docker.io/library/alpine"),
        ("grafana/loki:3", "docker.io/grafana/loki:3"),
        ("docker.io/alpine", "docker.io/library/alpine"),
        ("quay.io/a/b", "quay.io/a/b"),
    ],
)
def test_without_a_host_docker_means_its_hub(text: str, docker: str) -> None:
    assert str(ImageReference.parse(text).as_docker()) == docker


@pytest.mark.parametrize(
    "text",
    [
        "", "/", ":", "@", "app:", "app@", "app@sha256:12", "App", "a/B", "../x", "a//b", "host:1/", "a.b/../c",
        "app:v1:v2", "a%2fb", "host_x.y/app", "-.x/app", "localhost:99999999/app", "app:v1@", "a b", "x" * 300,
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ContentError):
        ImageReference.parse(text)


@pytest.mark.parametrize(
    ("host", "part"),
    [
        ("docker.io", "docker.io"),
        ("Registry.Example:5000", "registry.example-5000"),
        ("[::1]:5000", "0--1-5000"),
        ("[FE80::]", "fe80--0"),
        ("[::]:1", "0--0-1"),
        ("[2001:db8::1]", "2001-db8--1"),
    ],
)
def test_every_host_can_be_a_part_of_a_name(host: str, part: str) -> None:
    assert is_host(host)
    assert host_in_name(host) == part
    assert is_name(f"{part}/team/app")
