"""Whom a redirect is for."""

import pytest
from starlette.types import Scope

from registry.api.redirects import Redirects
from registry.proxies import Proxies, networks


def _scope(client: str, forwarded: str = "") -> Scope:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    return {"type": "http", "client": (client, 1) if client else None, "headers": headers}


@pytest.mark.parametrize(
    ("client", "forwarded", "applies"),
    [
        ("10.1.2.3", "", True),
        ("::ffff:10.1.2.3", "", True),
        ("192.0.2.1", "", False),
        ("fd00::1", "", True),
        ("", "", False),
        ("127.0.0.1", "10.1.2.3", True),
        ("127.0.0.1", "192.0.2.1", False),
        ("192.0.2.1", "10.1.2.3", False),
    ],
)
def test_the_clients_network_decides(client: str, forwarded: str, *, applies: bool) -> None:
    redirects = Redirects(networks(["10.0.0.0/8", "fd00::/8"]), 0, Proxies(networks(["127.0.0.1"])))
    assert redirects.apply(_scope(client, forwarded), 1) is applies


def test_without_networks_the_size_alone_decides() -> None:
    redirects = Redirects((), 100, Proxies())
    assert redirects.apply(_scope("192.0.2.1"), 100)
    assert redirects.apply(_scope(""), 100)
    assert not redirects.apply(_scope("192.0.2.1"), 99)
