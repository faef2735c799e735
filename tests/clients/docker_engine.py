"""A Docker engine of the tests' own, beside whatever the machine runs: own data, own socket, no bridge, no iptables.

Knows how to start and stop `dockerd` and how to call the `docker` command. Needs root, as dockerd does.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.clients.commands import Result, run
from tests.programs import leave_out, need

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.05


class DockerEngine:
    """A running engine; each method is a `docker` command."""

    def __init__(self, directory: Path, docker: str) -> None:
        self.directory = directory
        self._docker = docker
        self._environment = {
            "DOCKER_HOST": f"unix://{directory / 'docker.sock'}",
            "DOCKER_CONFIG": str(directory / "config"),
            "DOCKER_BUILDKIT": "0",  # Debian ships no buildx; the engine's own builder has no other switch
        }

    def with_config(self, directory: Path) -> "DockerEngine":
        """The same engine, asked by a `docker` whose configuration lies in `directory`."""
        other = DockerEngine(directory, self._docker)
        other.directory = self.directory
        other._environment = {**self._environment, "DOCKER_CONFIG": str(directory)}
        return other

    def __call__(self, *arguments: str | Path, fails: bool = False, stdin: Path | None = None) -> Result:
        """Run `docker ARGUMENTS`."""
        return run(self._docker, *arguments, env=self._environment, fails=fails, stdin=stdin)

    def answers(self) -> bool:
        """True if the engine answers now."""
        done = subprocess.run(
            [self._docker, "version"], env={**os.environ, **self._environment}, capture_output=True, check=False
        )
        return done.returncode == 0

    def image_id(self, reference: str) -> str:
        """The id of a local image, which is the digest of its config."""
        return self("image", "inspect", "--format", "{{.Id}}", reference).out.strip()

    def has(self, reference: str) -> bool:
        """True if there is a local image of that name or id."""
        return bool(self("image", "ls", "--quiet", "--no-trunc", reference).out.strip())

    def forget(self, *references: str) -> None:
        """Remove local images, with all layers that no other image needs."""
        self("image", "rm", "--force", *references)

    def output(self, reference: str, *command: str) -> str:
        """What a container of that image prints; it gets no network."""
        return self("run", "--rm", "--network", "none", reference, *command).out


@contextmanager
def docker_engine(*arguments: str, prefix: Sequence[str] = ()) -> Iterator[DockerEngine]:
    """Run `dockerd` in a directory of its own under the temporary directory; gone afterwards, with all its data.

    `arguments` go to `dockerd`; `prefix` is what its command begins with, to run it in a network namespace.
    """
    dockerd, docker = need("dockerd"), need("docker")
    if os.geteuid() != 0:
        leave_out("dockerd needs root")
    directory = Path(tempfile.mkdtemp(prefix="cargohold-dockerd-"))
    log = directory / "dockerd.log"
    command = [
        *prefix,
        dockerd,
        f"--host=unix://{directory / 'docker.sock'}",
        f"--data-root={directory / 'data'}",
        f"--exec-root={directory / 'exec'}",
        f"--pidfile={directory / 'dockerd.pid'}",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        *arguments,
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        engine = DockerEngine(directory, docker)
        _wait_ready(process, engine, log)
        yield engine
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_STOP_SECONDS)
        _unmount_below(directory)
        shutil.rmtree(directory)


def _unmount_below(directory: Path) -> None:
    """Undo the mounts that dockerd leaves: its data directory on itself, where the root's mounts are private."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in reversed([each for each in mounts if each.startswith(f"{directory}/")]):
        run(need("umount"), mount)


def _wait_ready(process: subprocess.Popen[bytes], engine: DockerEngine, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"dockerd ended with {process.returncode}:\n{log.read_text()[-8000:]}")
        if engine.answers():
            return
        time.sleep(_POLL_SECONDS)
    raise TimeoutError(f"dockerd did not answer within {_START_SECONDS:g} s:\n{log.read_text()[-8000:]}")
