"""Where a registry is: by its host or URL, with or without encryption."""

import pytest

from registry.mirror.endpoints import Endpoint


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("registry.example.com", "https://registry.example.com"),
        ("registry.example.com:5000", "https://registry.example.com:5000"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.2:5000", "http://127.0.0.2:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("https://localhost:5000/", "https://localhost:5000"),
        ("http://registry.lan/v2/", "http://registry.lan"),
        ("docker.io", "https://registry-1.docker.io"),
        ("https://index.docker.io", "https://registry-1.docker.io"),
    ],
)
def test_encryption_is_left_out_on_the_loopback_only_unless_that_is_said(text: str, url: str) -> None:
    assert Endpoint.parse(text).url == url


def test_encryption_can_be_left_out() -> None:
    assert Endpoint.parse("registry.lan", plain_http=True).is_plain


@pytest.mark.parametrize(
    "text",
    ["", "a b", "ftp://x", "https://", "https://user:secret@host", "https://:secret@host", "me:secret@host", "https://secret@h:99999",
     "http://[::1", "http://[lan]", "[lan]", "https://host/path", "http://host?x=1", "host/path",
     "http://[", "host:", "https://host:99999999"],
)  # fmt: skip
def test_what_is_no_registry_is_refused_without_its_secrets(text: str) -> None:
    with pytest.raises(ValueError, match=r"write (https://)?HOST") as refused:
        Endpoint.parse(text)

    assert "secret" not in str(refused.value)
