"""Runs the distribution-spec's conformance program and reads what it found.

Knows the program's environment variables and its JUnit report. Must not know which registry answers or what
is allowed to be skipped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.clients.commands import COMMAND_SECONDS, CommandFailed, run

_ROOT = "OCI Conformance Test/"


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the suite; `status` is passed, skipped, failure or error."""

    name: str
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """One run: the suite's own counts, which include steps within cases, and the cases by name."""

    total: int
    failed: int
    skipped: int
    cases: tuple[Case, ...]

    def of(self, *statuses: str) -> tuple[Case, ...]:
        """The cases that ended so."""
        return tuple(case for case in self.cases if case.status in statuses)

    def __str__(self) -> str:
        """One line of counts."""
        passed = self.total - self.failed - self.skipped
        return f"{self.total} tests: {passed} passed, {self.failed} failed, {self.skipped} skipped"


def run_suite(program: str, address: str, results: Path, version: str, settings: Mapping[str, str]) -> Report:
    """Run the suite at `version` (`1.1` or `dev`) against `address` (HOST:PORT), with further `OCI_…` settings.

    The program ends with 1 if a case failed, which is no error of the run; without a report it is one.
    """
    environment = {
        "OCI_REGISTRY": address,
        "OCI_TLS": "disabled",
        "OCI_VERSION": version,
        "OCI_RESULTS_DIR": str(results),
        "OCI_LOG": "error",
        **settings,
    }
    done = run(program, env=environment, cwd=results.parent, fails=None, seconds=COMMAND_SECONDS)
    report = results / "junit.xml"
    if not report.exists():
        raise CommandFailed(f"the suite left no report and ended with {done.code}:\n{done.text}")
    root = ElementTree.parse(report).getroot()
    counts = {name: int(root.get(name, "0")) for name in ("tests", "failures", "errors", "skipped", "disabled")}
    cases = tuple(
        Case(
            name=element.get("name", "").removeprefix(_ROOT),
            status=element.get("status", ""),
            message=element.findtext("system-out", ""),
        )
        for element in root.iter("testcase")
    )
    failed, skipped = counts["failures"] + counts["errors"], counts["skipped"] + counts["disabled"]
    return Report(counts["tests"], failed, skipped, cases)
