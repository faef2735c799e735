"""Locations and links: relative by default, whole where asked for, right behind a proxy that is trusted."""

from collections.abc import Callable

import pytest

from tests.images import index
from tests.wire.repository import Repository, digest_of

Configured = Callable[..., Repository]

_PROXY = {
    "Host": "registry.example.com",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "public.example.com",
    "X-Forwarded-Prefix": "/team",
}


def _bases(repository: Repository, headers: dict[str, str]) -> set[str]:
    """What stands before `/v2/` in all places that a push and a listing name."""
    data = index([]).manifest.data
    call = repository.wire.call
    begun = repository.call("POST", "blobs/uploads/", headers=headers)
    path = "/v2/" + begun.header("Location").partition("/v2/")[2]
    replies = [
        begun,
        call("PATCH", path, body=b"data", headers=headers),
        call("GET", path, headers=headers),
        call("PUT", f"{path}?digest={digest_of(b'data')}", headers=headers),
        repository.call("POST", f"blobs/uploads/?mount={digest_of(b'data')}", headers=headers),
        *(repository.call("PUT", f"manifests/{tag}", body=data, headers=headers) for tag in ("a", "b")),
    ]
    assert [reply.status for reply in replies] == [202, 202, 204, 201, 201, 201, 201]
    page = repository.call("GET", "tags/list?n=1", headers=headers)
    assert page.next is not None
    return {place.partition("/v2/")[0] for place in [page.next, *(reply.header("Location") for reply in replies)]}


def test_locations_are_relative_and_need_no_host(repository: Repository) -> None:
    assert _bases(repository, _PROXY) == {""}


def test_whole_locations_name_the_host_that_was_asked(configured: Configured) -> None:
    repository = configured(http__relative_locations="false")

    assert _bases(repository, {"Host": "a.example:5000"}) == {"http://a.example:5000"}
    assert _bases(repository, _PROXY) == {"http://registry.example.com"}, "nobody is trusted"


@pytest.mark.parametrize(
    ("relative", "headers", "base"),
    [
        ("true", _PROXY, "/team"),
        ("false", _PROXY, "https://public.example.com/team"),
        ("false", {"Host": "in", "Forwarded": "for=1.2.3.4;proto=https;host=out.example"}, "https://out.example"),
        ("false", {"Host": "in:80", "X-Forwarded-Proto": "https"}, "https://in:80"),
        ("false", {"Host": "in", "X-Forwarded-Host": "evil/../"}, "http://in"),
    ],
)
def test_a_trusted_proxy_says_how_its_client_sees_us(
    configured: Configured, relative: str, headers: dict[str, str], base: str
) -> None:
    repository = configured(http__relative_locations=relative, http__trusted_proxies="127.0.0.1,10.0.0.0/8")

    assert _bases(repository, headers) == {base}


def test_a_proxy_that_is_not_trusted_says_nothing(configured: Configured) -> None:
    repository = configured(http__relative_locations="false", http__trusted_proxies="10.0.0.0/8")

    assert _bases(repository, _PROXY) == {"http://registry.example.com"}


def test_a_fixed_url_always_counts(configured: Configured) -> None:
    repository = configured(http__external_url="https://fixed.example/base/")

    assert _bases(repository, _PROXY) == {"https://fixed.example/base"}
