"""Pushes, mounts, retags, deletions, restorations and kills against collectors, prunes, repairs and scrubs.

Every image whose push was acknowledged and that is still tagged pulls whole, all the time; and in the end a collection
leaves exactly the bytes and links that the tags need. `CARGOHOLD_STRESS_SECONDS` makes a run longer or shorter.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from collections.abc import Collection as Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from config.load import load
from registry.app_storage import build_backend
from registry.cleanup.gc import Collection, Options
from registry.cleanup.restore import Restored, Restorer, choose
from registry.content import keyspace, paging, walk
from registry.content.digest import Digest
from registry.content.errors import ManifestUnknown
from registry.content.immutable_tags import nothing
from registry.content.leases import CollectorBusy
from registry.content.names import RepositoryName
from registry.content.repository import Registry, Rules
from storage_backends.base import StorageBackend
from storage_backends.errors import StorageError
from tests.buckets.gateway import running_gateway
from tests.buckets.proxy import Proxy
from tests.buckets.replicas import bucket_settings
from tests.live_server import LiveServer, live_server
from tests.stress.collector import LEASE_SECONDS
from tests.stress.pusher import Lost, Pushed, Pusher
from tests.wire.wire import Wire

_SECONDS = float(os.environ.get("CARGOHOLD_STRESS_SECONDS", "0"))
_PUSHERS = 5
_LEFT_BY_KILLS = {"", "link without bytes", "stale entry", "history without tag"}
"""All that may be wrong: what a killed push, deletion or collection has begun."""
T = TypeVar("T")


class Collectors:
    """Processes that clean up; `replace` ends one of them the hard way and starts another."""

    def __init__(self, environment: Mapping[str, str], log: Path, programs: Sequence[str]) -> None:
        self.programs = programs
        self._environment = environment
        self._log = log
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> None:
        """Start one of the programs."""
        with self._log.open("ab") as out:
            command = [sys.executable, "-m", f"tests.stress.{self.programs[number]}"]
            environment = {**os.environ, **self._environment}
            self._running[number] = subprocess.Popen(command, stdout=out, stderr=out, env=environment)

    def replace(self, number: int) -> None:
        """SIGKILL, and another one."""
        self._kill(number)
        self.start(number)

    def stop(self) -> None:
        """End all."""
        for number in list(self._running):
            self._kill(number)

    def _kill(self, number: int) -> None:
        process = self._running.pop(number)
        assert process.poll() is None, self._log.read_text()[-2000:]
        process.kill()
        process.wait()

    def checks(self) -> list[str]:
        """What each check has found."""
        return [line for line in self._log.read_text().splitlines() if line.startswith("checked")]

    def cycles(self) -> list[str]:
        """A line for each cycle that came to its end."""
        return [line for line in self._log.read_text().splitlines() if line.startswith("cycle")]

    def pruned(self) -> int:
        """How many dangling images were removed."""
        lines = self._log.read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("pruned"))


@contextmanager
def _collecting(
    environment: Mapping[str, str], log: Path, programs: Sequence[str] = ("collector", "collector")
) -> Iterator[Collectors]:
    collectors = Collectors(environment, log, programs)
    try:
        for number in range(len(programs)):
            collectors.start(number)
        yield collectors
    finally:
        collectors.stop()


class _Operator:
    """See `pusher.Operator`. The grace that it grants is only its own: the collectors grant none."""

    def __init__(self, backend: StorageBackend) -> None:
        self._backend = backend
        self._rules = Rules()

    def delete(self, name: str, digest: str) -> bool:
        """See the protocol."""
        registry = Registry(self._backend, self._rules)
        try:
            self._do(registry.delete_manifest(RepositoryName(name), Digest.parse(digest)))
        except ManifestUnknown:
            return False
        return True

    def restore(self, name: str, digest: str) -> Sized[str] | None:
        """See the protocol."""

        async def restore() -> Restored | None:
            restorer = Restorer(self._backend, self._rules, nothing)
            known = await restorer.of(RepositoryName(name))
            chosen = choose(known, Digest.parse(digest))
            found = [one async for one in restorer.restore(chosen, known) if str(one.item.digest) == digest]
            return found[0] if found else None

        restored = self._do(restore())
        return restored.tags if restored is not None and restored.there else None

    @staticmethod
    def _do(work: Coroutine[None, None, T]) -> T:
        try:
            return asyncio.run(work)
        except StorageError as error:
            raise Lost(type(error).__name__) from error


def _run(
    servers: Sequence[LiveServer], collectors: Collectors, pushers: Sequence[Pusher], seconds: float, *, workers: bool
) -> None:
    """Let all pushers work for so long, and kill collectors and workers meanwhile. Raises what a pusher raises."""
    end = time.monotonic() + seconds
    failed = threading.Event()

    def work(pusher: Pusher) -> None:
        try:
            while time.monotonic() < end and not failed.is_set():
                pusher.step()
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(len(pushers)) as threads:
        running = [threads.submit(work, pusher) for pusher in pushers]
        chance = random.Random(1)
        pauses = (2, 5) if workers else (8, 12)  # a replica takes longer to come back
        while (left := end - time.monotonic()) > 0 and not failed.wait(min(left, chance.uniform(*pauses))):
            _kill_something(servers, collectors, chance, workers=workers)
        for future in running:
            future.result()


def _kill_something(
    servers: Sequence[LiveServer], collectors: Collectors, chance: random.Random, *, workers: bool
) -> None:
    if chance.random() < 0.3:
        collectors.replace(chance.randrange(len(collectors.programs)))
    elif workers:
        [server] = servers
        assert server.process is not None
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        with suppress(ProcessLookupError):
            os.kill(int(chance.choice(children)), signal.SIGKILL)
    else:
        server = chance.choice(servers)
        server.kill()
        server.start()


def _collect(backend: StorageBackend) -> None:
    async def run() -> None:
        async for _ in Collection(backend, Options(grace=0, lease=LEASE_SECONDS), "the end").run():
            pass

    deadline = time.monotonic() + 3 * LEASE_SECONDS
    while True:
        try:
            asyncio.run(run())
        except CollectorBusy:
            assert time.monotonic() < deadline, "the lease of a killed collector does not run out"
            time.sleep(0.2)  # until it has
        else:
            return


def _assert_exact(backend: StorageBackend, kept: Mapping[str, Sequence[Pushed]]) -> None:
    """What lies there is what these images, by repository, need: no byte more, no link more."""

    async def keys(prefix: str) -> set[str]:
        return {key async for key in paging.keys(backend, prefix)}

    digests, links = set(), set()
    for name, values in kept.items():
        for value in values:
            for one in (value, *value.children):
                digests.add(one.manifest.digest)
                digests.update(blob.digest for blob in one.blobs)
                links |= {f"{name}/_layers/{blob.digest.replace(':', '/')}/link" for blob in one.blobs}
    found = asyncio.run(keys(keyspace.BLOBS))
    assert found == {f"{keyspace.BLOBS}sha256/{digest[7:9]}/{digest[7:]}/data" for digest in digests}
    everything = asyncio.run(keys(keyspace.REPOSITORIES))
    assert {key.removeprefix(keyspace.REPOSITORIES) for key in everything if "/_layers/" in key} == links
    for prefix in (keyspace.CONDEMNED, keyspace.TOUCHED):
        assert asyncio.run(keys(prefix)) == set()
    assert not {key for key in asyncio.run(keys(keyspace.OWN_REPOSITORIES)) if "/_trash/" in key}


async def _forget_intents(backend: StorageBackend) -> None:
    """What killed pushes have left: a collector does so an hour later."""
    keys = [key async for key in paging.keys(backend, keyspace.INTENTS)]
    await backend.delete_many(keys)


def _finish(backend: StorageBackend, pushers: Sequence[Pusher]) -> None:
    """Remove what no tag names, collect, and compare."""
    kept = {}
    for pusher in pushers:
        named = pusher.verify_all()
        kept[pusher.name] = list(named.values())
        needed = {one.manifest.digest for value in named.values() for one in (value, *value.children)}

        async def delete_others(name: str = pusher.name, needed: set[str] = needed) -> None:
            async for entry in walk.by_digest(backend, keyspace.revisions(name), "/link"):
                if str(entry.digest) not in needed:
                    await backend.delete(entry.key)

        asyncio.run(delete_others())
    asyncio.run(_forget_intents(backend))
    _collect(backend)
    for pusher in pushers:
        pusher.verify_all()
    _assert_exact(backend, kept)


def _assert_busy(pushers: Sequence[Pusher], collectors: Collectors, least: float) -> None:
    """The test has tested something."""
    counts: Counter[str] = sum((pusher.counts for pusher in pushers), Counter())
    print(dict(counts), f"{len(collectors.cycles())} cycles")
    for action in ("pushed", "retagged", "untagged", "deleted", "verified", "was there"):
        assert counts[action] > least, counts
    assert len(collectors.cycles()) > least


def _pushers(
    servers: Sequence[LiveServer], backend: StorageBackend, settle: Callable[[], None] = lambda: None
) -> list[Pusher]:
    names = [f"stress/{number}" for number in range(_PUSHERS)]
    wires = [Wire(server.url) for server in servers]
    return [Pusher(wires, name, names, number, _Operator(backend), settle) for number, name in enumerate(names)]


@pytest.mark.timeout(600)
def test_on_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = _SECONDS or 120
    environment = {"CARGOHOLD_STORAGE__ROOT": str(tmp_path / "data"), "CARGOHOLD_CLEANUP__GRACE_SECONDS": "0"}
    with (
        live_server(tmp_path, arguments=["--workers", "2"], environment=environment) as server,
        _collecting(environment, tmp_path / "collectors.log") as collectors,
    ):
        monkeypatch.setenv("CARGOHOLD_STORAGE__ROOT", environment["CARGOHOLD_STORAGE__ROOT"])
        backend = build_backend(load())
        pushers = _pushers([server], backend)
        _run([server], collectors, pushers, seconds, workers=True)
        _assert_busy(pushers, collectors, seconds / 20)
        assert sum(pusher.counts["began again"] for pusher in pushers), "no collection ever met a push"
        assert sum(pusher.counts["restored"] for pusher in pushers), "nothing was ever restored"
        assert collectors.pruned() > 0
        collectors.stop()
        _finish(backend, pushers)


@pytest.mark.timeout(600)
def test_repairs_and_scrubs_beside_pushes_and_collections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"CARGOHOLD_STORAGE__ROOT": str(tmp_path / "data"), "CARGOHOLD_CLEANUP__GRACE_SECONDS": "0"}
    with (
        live_server(tmp_path, arguments=["--workers", "2"], environment=environment) as server,
        _collecting(environment, tmp_path / "log", ("collector", "checker")) as collectors,
    ):
        monkeypatch.setenv("CARGOHOLD_STORAGE__ROOT", environment["CARGOHOLD_STORAGE__ROOT"])
        backend = build_backend(load())
        pushers = _pushers([server], backend)
        _run([server], collectors, pushers, _SECONDS or 15, workers=True)
        checks = collectors.checks()
        collectors.stop()
        assert checks, "nothing was ever checked"
        assert {check.partition(";")[0] for check in checks} == {"checked 0 damaged"}
        assert {kind for check in checks for kind in check.partition("; ")[2].split(", ")} <= _LEFT_BY_KILLS
        _finish(backend, pushers)


@pytest.mark.timeout(600)
def test_on_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = _SECONDS or 60
    with ExitStack() as stack:
        gateway = stack.enter_context(running_gateway(tmp_path))
        proxy = Proxy(gateway.port)
        stack.callback(proxy.close)
        environment = {
            **bucket_settings(gateway, proxy.endpoint, gateway.create_bucket()),
            "CARGOHOLD_CLEANUP__GRACE_SECONDS": "0",
        }
        servers = []
        for number in range(2):
            own = tmp_path / str(number)
            own.mkdir()
            servers.append(stack.enter_context(live_server(own, environment=environment)))
        collectors = stack.enter_context(_collecting(environment, tmp_path / "collectors.log"))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        backend = build_backend(load())
        pushers = _pushers(servers, backend, proxy.settle)
        _run(servers, collectors, pushers, seconds, workers=False)
        _assert_busy(pushers, collectors, 0)
        collectors.stop()
        _finish(backend, pushers)
