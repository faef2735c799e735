"""Options that all tests share, and what each module of tests is held to."""

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# how long an example takes says more about what else runs on the machine than about the code
settings.register_profile("cargohold", deadline=None)
settings.load_profile("cargohold")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that put another registry in our place, and that choose and repeat fault runs."""
    parser.addoption(
        "--registry-url",
        default="",
        metavar="URL",
        help="run tests that speak HTTP against this registry (http://HOST:PORT) instead of starting our own",
    )
    parser.addoption("--fault-runs", type=int, default=500, help="how often the server is killed (default 500)")
    parser.addoption("--fault-seed", type=int, default=1, help="the first seed; give a failing test's to see it again")


def pytest_configure() -> None:
    """Let Ctrl-C be heard, here and by what is started: a shell has what it runs in the background ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_OUR_SERVERS = frozenset({"shared_server", "server", "own_server", "disk_server"})
"""Fixtures that start servers of ours: with settings, disks or ends of their own."""


_UNDER_TEST = frozenset({"under_test", "registry_url"})
"""Parameters and fixtures that say which registry is asked: tests without them start what they need."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--registry-url` leave out the tests that need a server of our own."""
    if not config.getoption("--registry-url"):
        return
    needs = {item: set(getattr(item, "fixturenames", ())) for item in items}
    config.hook.pytest_deselected(items=[item for item in items if not _is_about_any(needs[item])])
    items[:] = [item for item in items if _is_about_any(needs[item])]


def _is_about_any(needs: set[str]) -> bool:
    return not needs & _OUR_SERVERS and bool(needs & _UNDER_TEST)


@pytest.fixture(scope="session")
def registry_url(request: pytest.FixtureRequest) -> str:
    """The registry of `--registry-url`; empty if it is to be ours."""
    return str(request.config.getoption("--registry-url"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop under coroutine tests: the one that the server runs on."""
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def what_was_opened_is_closed() -> Iterator[None]:
    """Let Python warn of what a module has left open at its own end: the warning fails whoever runs when it comes.

    A full collection takes up to half a second in a large process, so it is made only where more is open than before.
    """
    before = _open_files()
    yield
    if _open_files() > before:
        gc.collect()


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
