"""Who really sends a request is told by trusted proxies only."""

import pytest

from registry.proxies import Proxies, networks

TRUSTED = Proxies(networks(["10.0.0.0/8", "2001:db8::/32"]))


def scope(peer: str | None, *headers: tuple[str, str]) -> dict[str, object]:
    return {
        "type": "http",
        "client": (peer, 1234) if peer is not None else None,
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("192.0.2.1", [("x-forwarded-for", "198.51.100.7")], "192.0.2.1"),
        ("10.0.0.1", [("x-forwarded-for", "198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", [("x-forwarded-for", "1.2.3.4, 198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", [("x-forwarded-for", "1.2.3.4, 198.51.100.7, 10.0.0.9")], "198.51.100.7"),
        ("10.0.0.1", [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", [("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
        ("10.0.0.1", [("x-forwarded-for", "nonsense")], "10.0.0.1"),
        ("10.0.0.1", [("x-forwarded-for", "1.2.3.4, nonsense")], "10.0.0.1"),
        ("10.0.0.1", [("x-forwarded-for", "198.51.100.7:4321")], "198.51.100.7"),
        ("10.0.0.1", [("x-forwarded-for", "::ffff:198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", [("x-forwarded-for", "[2001:db8:1::7]:4711, 10.0.0.2")], "2001:db8:1::7"),
        ("10.0.0.1", [("forwarded", 'for="[2001:db8:1::7]";proto=https, for=10.0.0.2')], "2001:db8:1::7"),
        ("10.0.0.1", [("forwarded", "for=198.51.100.7;proto=https")], "198.51.100.7"),
        ("10.0.0.1", [("forwarded", "for=1.2.3.4"), ("x-forwarded-for", "198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        (None, [("x-forwarded-for", "198.51.100.7")], "198.51.100.7"),
        (None, [], ""),
    ],
)
def test_the_client_is_the_nearest_that_is_no_trusted_proxy(
    peer: str | None, headers: list[tuple[str, str]], client: str
) -> None:
    assert TRUSTED.client(scope(peer, *headers)) == client


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    assert Proxies().client(scope("10.0.0.1", ("x-forwarded-for", "198.51.100.7"))) == "10.0.0.1"
    assert Proxies().client(scope(None, ("x-forwarded-for", "198.51.100.7"))) == ""
