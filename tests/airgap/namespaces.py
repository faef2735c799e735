"""A side of an air gap: a network namespace whose only interface is its own loopback, so no route leads out of it.

Knows how to run programs, our server and a Docker engine there. Needs root, as namespaces do.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clients.commands import Result, run
from tests.live_server import LiveServer, cargohold_command
from tests.programs import leave_out, need

_PORT = 5000
"""In a namespace of one's own every port is free."""
_ASK = "import sys, httpx; httpx.get(sys.argv[1], timeout=5, trust_env=False)"


@dataclass(frozen=True, slots=True)
class Side:
    """One side; `prefix` is what a command begins with that is to run there."""

    name: str
    prefix: Sequence[str]

    def run(
        self,
        *command: str | Path,
        env: Mapping[str, str] | None = None,
        fails: bool | None = False,
        cwd: Path | None = None,
        stdin: Path | None = None,
    ) -> Result:
        """Run a program to its end there."""
        return run(*self.prefix, *command, env=env, fails=fails, cwd=cwd, stdin=stdin)

    def cargohold(self, *arguments: str | Path, env: Mapping[str, str] | None = None, fails: bool = False) -> Result:
        """Run `cargohold ARGUMENTS` there."""
        return self.run(*cargohold_command(), *arguments, env=env, fails=fails)

    def reaches(self, url: str) -> bool:
        """True if something answers HTTP at that address there."""
        done = subprocess.run([*self.prefix, sys.executable, "-c", _ASK, url], capture_output=True, check=False)
        return done.returncode == 0


@dataclass
class SideServer(LiveServer):
    """Our server on a side of the gap: reachable at 127.0.0.1:5000 there, and nowhere else."""

    side: Side | None = None

    def command(self) -> list[str]:
        """What is run."""
        assert self.side is not None
        return [*self.side.prefix, *super().command()]

    def answers(self) -> bool:
        """True if the server answers there now."""
        assert self.side is not None
        return self.side.reaches(f"{self.url}/v2/")


@contextmanager
def side(role: str) -> Iterator[Side]:
    """A side of its own, gone afterwards."""
    ip = need("ip")
    if os.geteuid() != 0:
        leave_out("network namespaces need root")
    name = f"cargohold-{role}-{secrets.token_hex(4)}"
    run(ip, "netns", "add", name)
    try:
        # nsenter and not `ip netns exec`, which puts a fresh /sys over the one where dockerd looks for its cgroups
        here = Side(name, (need("nsenter"), f"--net=/run/netns/{name}"))
        here.run(ip, "link", "set", "lo", "up")
        yield here
    finally:
        run(ip, "netns", "delete", name)


@contextmanager
def server_on(
    here: Side, directory: Path, *, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[SideServer]:
    """A running server with its data in `directory`/data; killed afterwards."""
    server = SideServer(directory / "data", _PORT, directory / "server.log", arguments, environment or {}, side=here)
    try:
        server.start()
        yield server
    finally:
        if server.process is not None:
            server.kill()
