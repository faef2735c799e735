"""`python -m benchmarks`: both registries do the same work in turn, round after round."""

import argparse
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks import bucket, bundles, collecting, login, mirror, rows, trees
from benchmarks.report import Result, as_json, plot, table
from benchmarks.rows import Figure, Row, Subject
from benchmarks.servers import Command, running

_OURS = "{python} -m registry serve --root {{root}} --listen 127.0.0.1:{{port}} --workers 1"
_PEER = "docker-registry serve {config}"
_S3 = "versitygw --port 127.0.0.1:{port} --quiet --keep-alive posix {root}"
_MIB = 1024 * 1024


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Cargohold side by side with another registry on this machine.",
        epilog="In commands {port} is a free port, {root} a fresh directory, {config} a configuration file that "
        "Docker's distribution reads (port and root are in it). Example: --peer '/opt/registry3 serve {config}'",
    )
    parser.add_argument("--ours", default=_OURS.format(python=sys.executable), metavar="COMMAND")
    parser.add_argument("--peer", default=_PEER, metavar="COMMAND", help="default: %(default)s; 'none' for no peer")
    parser.add_argument("--s3", default=_S3, metavar="COMMAND", help="an S3 server for the bucket rows: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=512, metavar="MIB", help="size of the large blobs (default 512)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each request row runs (default 3)")
    parser.add_argument("--only", default="", metavar="WORDS", help="rows whose names contain one of these, by comma")
    parser.add_argument("--quick", action="store_true", help="one round, small blobs, short lists: a smoke test")
    parser.add_argument("--huge", action="store_true", help="also push a 10 GiB layer and look at the memory")
    parser.add_argument(
        "--dir", type=Path, default=None, help="where to put the data: on the disk that is to be measured"
    )
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"), help="default %(default)s")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.size, chosen.seconds = 1, 32, 0.5
    if chosen.peer == _PEER and shutil.which("docker-registry") is None:
        parser.error("docker-registry is not installed; install it, name another with --peer, or say --peer none")
    return chosen


class _Run:
    def __init__(self, chosen: argparse.Namespace, scratch: Path) -> None:
        self.chosen = chosen
        self.scratch = scratch
        self.commands = [Command("ours", chosen.ours)]
        if chosen.peer != "none":
            self.commands.append(Command("peer", chosen.peer))
        self.results: list[Result] = []

    def wanted(self, name: str) -> bool:
        words = [word.strip() for word in self.chosen.only.split(",") if word.strip()]
        return not words or any(word in name for word in words)

    def compare(self, group: list[Row], shared_root: Path | None = None) -> None:
        """Measure rows on registries that run side by side, each idle while the other one works."""
        group = [row for row in group if self.wanted(row.name)]
        if not group:
            return
        with ExitStack() as stack:
            subjects = []
            for command in self.commands:
                root = shared_root or Path(tempfile.mkdtemp(dir=self.scratch))
                registry = stack.enter_context(running(command, root))
                subjects.append(Subject(registry, root, self.chosen.size * _MIB, self.chosen.seconds))
            for row in group:
                self._measure(row, subjects)
            if shared_root is None:
                self._peaks(subjects)

    def start_up(self) -> None:
        """Seconds from the start of the process to its first answer."""
        if not self.wanted("start-up"):
            return
        figures: list[list[float]] = [[] for _ in self.commands]
        for _ in range(max(self.chosen.rounds, 3)):
            for number, command in enumerate(self.commands):
                with running(command, Path(tempfile.mkdtemp(dir=self.scratch))) as registry:
                    figures[number].append(registry.ready_seconds)
        self.add("start-up", "s", figures, more_is_better=False)

    def _measure(self, row: Row, subjects: list[Subject]) -> None:
        print(f"  {row.name} …", file=sys.stderr, flush=True)
        figures: list[list[Figure]] = [[] for _ in subjects]
        for _ in range(self.chosen.rounds):
            for number, subject in enumerate(subjects):
                figures[number].append(row.measure(subject))
        values = [[figure.value for figure in each] for each in figures]
        self.add(row.name, row.unit, values, more_is_better=row.more_is_better, target=row.target)
        costs = [[figure.cpu_per_gb for figure in each if figure.cpu_per_gb is not None] for each in figures]
        if all(costs):
            self.add(f"{row.name}: CPU", "s/GB", costs, more_is_better=False, target=row.cpu_target)

    def _peaks(self, subjects: list[Subject]) -> None:
        self.add("peak memory", "MiB", [[subject.registry.peak_mib()] for subject in subjects], more_is_better=False)

    def add(
        self, name: str, unit: str, figures: list[list[float]], *, more_is_better: bool, target: float | None = None
    ) -> None:
        """Keep the figures of a row."""
        peer = figures[1] if len(figures) > 1 else []
        self.results.append(Result(name, unit, figures[0], peer, more_is_better, target))


def _lists(run: _Run) -> None:
    tags, repositories = (200, 300) if run.chosen.quick else (10_000, 100_000)
    if run.wanted("tag page"):
        root = Path(tempfile.mkdtemp(dir=run.scratch))
        names = trees.many_tags(root, "bench/tags", tags)
        run.compare(rows.list_rows(names, "/v2/bench/tags/tags/list", "tags", f"tag page of {tags}"), root)
    for nested in (False, True):
        label = f"catalog page of {repositories}, {'nested' if nested else 'flat'}"
        if run.wanted(label):
            root = Path(tempfile.mkdtemp(dir=run.scratch))
            names = trees.many_repositories(root, repositories, nested=nested)
            run.compare(rows.list_rows(names, "/v2/_catalog", "repositories", label), root)


def _login(run: _Run) -> None:
    """What it costs to show a valid token: ours that asks for a login, with ours that asks for none as the peer."""
    if run.wanted("login"):
        figures = login.rates(run.chosen.ours, run.scratch, run.chosen.rounds, run.chosen.seconds)
        for name, (with_login, without) in figures.items():
            run.results.append(
                Result(name, "1/s", with_login, without, more_is_better=True, target=0.9 if "token" in name else None)
            )


def _bucket(run: _Run) -> None:
    """What our server costs in front of a bucket: boto3, which talks to the bucket itself, is the peer."""
    program = shutil.which(run.chosen.s3.split()[0])
    if not run.wanted("bucket") or program is None:
        return
    size = run.chosen.size * _MIB
    found = bucket.measure(run.chosen.ours, run.chosen.s3, run.scratch, run.chosen.rounds, size)
    for name, (ours, plain) in found.rates.items():
        run.results.append(Result(name, "MB/s", ours, plain, more_is_better=True, target=0.7))
    name = f"bucket: memory, 8 pushes of {4 * run.chosen.size} MiB"
    run.results.append(Result(name, "MiB", [found.peak_mib], [], more_is_better=False))


def _bundles(run: _Run) -> None:
    """Crossing a gap in a file, beside `tar` with `sha256sum`, and `skopeo sync` by way of a directory."""
    if not run.wanted("bundle"):
        return
    skopeo = shutil.which("skopeo") is not None
    costs = bundles.measure(run.chosen.ours, run.scratch, run.chosen.rounds, 2 * run.chosen.size * _MIB, skopeo=skopeo)
    for name, each in costs.with_tar.items():
        rates = [[costs.size / seconds / 1e6 for seconds in part] for part in each]
        run.add(f"bundle {name}, tar and sha256sum", "MB/s", rates, more_is_better=True, target=0.7)
    for name, each in costs.with_skopeo.items():
        run.add(f"bundle {name}, skopeo sync", "s", list(each), more_is_better=False, target=1.0)
    run.add("bundle: peak memory", "MiB", [costs.peak_mib], more_is_better=False)


def _mirror(run: _Run) -> None:
    """Pulling through ours: the registry that is mirrored (the peer, if there is one) is asked itself as the peer."""
    if not run.wanted("mirror"):
        return
    chosen = run.chosen
    upstream = chosen.ours if chosen.peer == "none" else chosen.peer
    found = mirror.measure((chosen.ours, upstream), run.scratch, chosen.rounds, chosen.size * _MIB, chosen.seconds)
    for name, (ours, peer) in found.items():
        target = None if "no line" in name else 0.8 if "cold" in name else 0.9
        unit = "1/s" if "manifest" in name else "MB/s"
        run.results.append(Result(name, unit, ours, peer, more_is_better=True, target=target))


def _collecting(run: _Run) -> None:
    """Garbage collection over the same tree."""
    if not run.wanted("garbage collection"):
        return
    manifests = 500 if run.chosen.quick else 20_000
    peer = "" if run.chosen.peer == "none" else run.chosen.peer.split()[0]
    found = collecting.measure(peer, run.scratch, run.chosen.rounds, manifests)
    for unit, costs in (("s", found.seconds), ("MiB", found.memory)):
        figures = [costs[name] for name in ("ours", "peer") if name in costs]
        target = 0.5 if unit == "s" and not run.chosen.quick else None
        run.add(f"garbage collection, {manifests} manifests", unit, figures, more_is_better=False, target=target)
    rates = collecting.pulls_meanwhile(
        run.chosen.ours,
        run.scratch,
        run.chosen.rounds,
        manifests,
        size=run.chosen.size * _MIB,
        seconds=run.chosen.seconds,
    )
    run.add("pulls during garbage collection", "MB/s", list(rates), more_is_better=True, target=0.9)


def main() -> int:
    """Run it all; exit code 0 whatever the ratios are."""
    chosen = _arguments()
    with tempfile.TemporaryDirectory(dir=chosen.dir, prefix="bench-") as scratch:
        run = _Run(chosen, Path(scratch))
        run.compare(rows.ROWS)
        memory = [Row("memory, 200 slow connections", "MiB", rows.idle_memory, more_is_better=False)]
        if chosen.huge:
            memory.append(Row("memory, 10 GiB layer", "MiB", rows.huge_push_memory, more_is_better=False))
        run.compare(memory)
        _lists(run)
        run.start_up()
        _login(run)
        _bucket(run)
        _mirror(run)
        _collecting(run)
        _bundles(run)
    chosen.output.mkdir(parents=True, exist_ok=True)
    text = table(run.results)
    print(text)
    (chosen.output / "results.txt").write_text(text + "\n")
    (chosen.output / "results.json").write_text(as_json(run.results, (chosen.ours, chosen.peer)))
    (chosen.output / "ratios.svg").write_text(plot(run.results))
    print(f"\nwritten to {chosen.output}/: results.txt, results.json, ratios.svg", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
