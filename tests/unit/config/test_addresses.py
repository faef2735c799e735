"""Where to listen."""

import pytest

from config.addresses import ListenAddress, TcpAddress, UnixAddress, parse_listen


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5000", TcpAddress("127.0.0.1", 5000)),
        ("localhost:0", TcpAddress("localhost", 0)),
        ("registry.example.com:443", TcpAddress("registry.example.com", 443)),
        ("[::1]:5000", TcpAddress("::1", 5000)),
        ("unix:/run/cargohold.sock", UnixAddress("/run/cargohold.sock")),
    ],
)
def test_an_address_is_read_and_printed_as_it_was_written(text: str, address: ListenAddress) -> None:
    assert parse_listen(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "HOST:PORT"),
        ("127.0.0.1", "HOST:PORT"),
        ("127.0.0.1:http", "HOST:PORT"),
        ("127.0.0.1:65536", "65535"),
        (":5000", r"0\.0\.0\.0:5000 for all"),
        ("::1:5000", r"\[::1\]:5000"),
        ("a b:5000", "neither an address nor a host name"),
        ("http://localhost:5000", "brackets"),
        ("unix:cargohold.sock", "whole path"),
        ("unix:/" + "x" * 107, "107 bytes"),
    ],
)
def test_what_is_not_an_address_is_refused_with_a_remedy(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        parse_listen(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"])
def test_the_loopback_is_known_in_all_its_forms(host: str) -> None:
    assert TcpAddress(host, 5000).is_loopback


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.5", "registry.lan", "localhost.example.com", "::ffff:10.0.0.1"]
)
def test_any_other_address_counts_as_reachable_from_outside(host: str) -> None:
    assert not TcpAddress(host, 5000).is_loopback
