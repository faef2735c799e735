"""Options that all tests share."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that puts another registry in our place."""
    parser.addoption(
        "--registry-url",
        default="",
        metavar="URL",
        help="run tests that speak HTTP against this registry (http://HOST:PORT) instead of starting our own",
    )
