"""Locations are right for the client, behind whatever proxy, and nobody but a trusted proxy has a say in them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.api.locations import Locations
from registry.proxies import Proxies, networks

_PROXY = "10.0.0.9"
_STRANGER = "192.0.2.7"


def _base(
    headers: dict[str, str], *, client: str | None = _PROXY, relative: bool = False, external_url: str = ""
) -> str:
    locations = Locations(relative, external_url, Proxies(networks(["10.0.0.0/8", "2001:db8::/32"])))
    return locations.base(
        {
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
            "scheme": "http",
            "client": None if client is None else (client, 1234),
        }
    )


_FORWARDED = {
    "Host": "inside:5000",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "registry.example.com",
    "X-Forwarded-Prefix": "/team",
}


def test_relative_locations_need_no_host() -> None:
    assert _base({"Host": "a"}, relative=True) == ""


def test_absolute_locations_name_the_host_that_the_client_asked() -> None:
    assert _base({"Host": "a.example:5000"}, client=_STRANGER) == "http://a.example:5000"
    assert _base({"Host": "[::1]:5000"}, client=_STRANGER) == "http://[::1]:5000"


def test_without_a_host_a_location_stays_relative() -> None:
    assert _base({}, client=_STRANGER) == ""


def test_a_trusted_proxy_says_how_the_client_sees_us() -> None:
    assert _base(_FORWARDED) == "https://registry.example.com/team"
    assert _base(_FORWARDED, client="2001:db8::1") == "https://registry.example.com/team"
    assert _base(_FORWARDED, client=None) == "https://registry.example.com/team", "a Unix socket"


def test_a_relative_location_keeps_the_prefix_of_a_trusted_proxy() -> None:
    assert _base(_FORWARDED, relative=True) == "/team"


def test_nobody_else_is_believed() -> None:
    spoofed = {**_FORWARDED, "Forwarded": "proto=https;host=evil.example"}

    assert _base(spoofed, client=_STRANGER) == "http://inside:5000"
    assert _base(spoofed, client=_STRANGER, relative=True) == ""
    assert _base(spoofed, client="2001:db9::1") == "http://inside:5000"


def test_a_forwarded_field_of_the_client_does_not_get_past_a_proxy_that_sets_the_older_ones() -> None:
    headers = {"Host": "a.example", "X-Forwarded-Proto": "https", "Forwarded": "proto=http;host=evil.example"}

    assert _base(headers) == "https://a.example"


def test_without_trusted_proxies_nobody_is_believed() -> None:
    scope = {"headers": [(b"host", b"a"), (b"x-forwarded-host", b"evil")], "scheme": "http", "client": None}

    assert Locations(relative=False, external_url="", proxies=Proxies()).base(scope) == "http://a"


def test_an_external_url_that_is_set_always_counts() -> None:
    assert _base(_FORWARDED, external_url="https://fixed.example/x") == "https://fixed.example/x"
    assert _base({}, client=_STRANGER, relative=True, external_url="https://fixed.example") == "https://fixed.example"


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({"Forwarded": "proto=https;host=a.example"}, "https://a.example"),
        ({"Forwarded": 'for=192.0.2.1;Proto=HTTPS; Host="a.example:444"'}, "https://a.example:444"),
        ({"Forwarded": "host=spoofed.example, proto=https;host=a.example"}, "https://a.example"),
        ({"Forwarded": "host=spoofed.example, for=192.0.2.1"}, "http://inside"),
        ({"X-Forwarded-Host": "spoofed.example, a.example", "X-Forwarded-Proto": "http, https"}, "https://a.example"),
        ({"X-Forwarded-Prefix": "/spoofed, /team/"}, "http://inside/team"),
        ({"X-Forwarded-Prefix": "/"}, "http://inside"),
        ({"X-Forwarded-Host": "[2001:db8::5]:443"}, "http://[2001:db8::5]:443"),
    ],
)
def test_the_nearest_proxy_counts(headers: dict[str, str], base: str) -> None:
    assert _base({"Host": "inside", **headers}) == base


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": "a.example/path"},
        {"X-Forwarded-Host": "user@a.example"},
        {"X-Forwarded-Host": "a.example\r\nSet-Cookie: x"},
        {"X-Forwarded-Host": "a.example>; rel=next"},
        {"X-Forwarded-Host": "a b"},
        {"X-Forwarded-Host": "a.example:port"},
        {"X-Forwarded-Proto": "javascript"},
        {"X-Forwarded-Proto": "https://"},
        {"X-Forwarded-Prefix": "//evil.example"},
        {"X-Forwarded-Prefix": "evil.example"},
        {"X-Forwarded-Prefix": "/a/../b"},
        {"X-Forwarded-Prefix": "/a?b"},
        {"X-Forwarded-Prefix": "/a\r\nb"},
        {"Forwarded": "host=evil.example/path"},
        {"Forwarded": "proto=gopher"},
        {"Forwarded": "nonsense"},
        {"Forwarded": ""},
    ],
)
def test_what_a_proxy_could_not_mean_is_ignored(headers: dict[str, str]) -> None:
    assert _base({"Host": "inside", **headers}) == "http://inside"


@pytest.mark.parametrize("value", ["x" + " " * 60_000 + "x", "host=" + " " * 60_000 + '"', "host " * 12_000])
def test_a_long_field_takes_no_longer_than_its_length(value: str) -> None:
    """What the proxy hands on may be a stranger's, and everybody waits for it."""
    before = time.process_time()

    _base({"Host": "inside", "Forwarded": value})

    assert time.process_time() - before < 1


@given(st.dictionaries(st.sampled_from(["Host", *_FORWARDED, "Forwarded"]), st.text(st.characters(max_codepoint=255))))
def test_no_header_raises_or_breaks_out_of_the_location(headers: dict[str, str]) -> None:
    base = _base(headers)

    assert not set(base) & set(' \r\n\t"<>\\?#@%')
    assert base == "" or base.startswith(("http://", "https://", "/"))
    assert not base.startswith("//")


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        networks(["everybody"])
