"""A registry that asks for logins, with people, a robot and rules, for tests that come as the world does.

Knows the command line and the settings file; must not know what is asked of the server afterwards.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from registry.cli.main import app
from tests.live_server import LiveServer, live_server

PASSWORDS = {"alice": "correct horse", "bob": "battery staple"}
AUTH = "auth: {enabled: true, throttle: {per_address: 10000, per_account: 10000}}\n"
"""All tests come from one address, and many of them with wrong passwords."""
RULES = """
access:
  rules:
    - {who: user:alice, repositories: ["team/**", "clients/**"], actions: [pull, push, delete]}
    - {who: user:bob, repositories: "bob/**", actions: [pull, push]}
    - {who: anonymous, repositories: "public/**", actions: pull}
    - {who: user:alice, repositories: "public/**", actions: [pull, push]}
"""


@dataclass(frozen=True)
class Guarded:
    """A running registry with accounts; the settings lie in `config`."""

    server: LiveServer
    config: Path

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return self.server.address

    def cargohold(self, *arguments: str, stdin: str = "") -> str:
        """Run `cargohold ARGUMENTS` on the server's storage; return what it prints."""
        return cargohold(self.server.root, self.config, *arguments, stdin=stdin)

    def robot(self, name: str, *scope: str, expires: str = "1h") -> str:
        """The token of a new robot."""
        scopes = [word for text in scope for word in ("--scope", text)]
        return self.cargohold("token", "create", "--name", name, *scopes, "--expires", expires).strip()

    def logins(self) -> list[Mapping[str, Any]]:
        """The logins that clients keep."""
        found: list[Mapping[str, Any]] = json.loads(self.cargohold("token", "list", "--logins", "--json"))
        return found


def cargohold(root: Path, config: Path, *arguments: str, stdin: str = "") -> str:
    """Run `cargohold ARGUMENTS` on a storage, within this process; return what it prints."""
    words = [*arguments, "--root", str(root), "--config", str(config)]
    with ThreadPoolExecutor(1) as thread:  # a command runs its own event loop, which a test that has one cannot
        done = thread.submit(CliRunner().invoke, app, words, input=stdin).result()
    assert done.exit_code == 0, done.exception
    return done.stdout


@contextmanager
def guarded(
    directory: Path, settings: str = RULES, *, arguments: Sequence[str] = (), users: Mapping[str, str] = PASSWORDS
) -> Iterator[Guarded]:
    """A running registry with these users and settings (YAML, `auth` as in `AUTH` if it says nothing of it)."""
    config = directory / "cargohold.yml"
    config.write_text(settings if "auth:" in settings else AUTH + settings)
    for name, password in users.items():
        cargohold(directory / "data", config, "user", "add", name, "--password-stdin", stdin=password)
    with live_server(directory, arguments=["--config", str(config), *arguments]) as server:
        yield Guarded(server, config)
