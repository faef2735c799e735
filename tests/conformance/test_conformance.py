"""The official conformance suite finds nothing to fail, and nothing to skip but what stands here.

The suite's version sets which parts are on: at 1.1 the stable ones and the cancelling of uploads, at dev every one.
What may be skipped stands in a profile's `skips` with its reason; a skip that no longer happens has to leave it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conformance.suite import run_suite
from tests.live_server import live_server
from tests.programs import need

CANCEL = {"OCI_API_BLOBS_UPLOAD_CANCEL": "true"}
OPTIONAL_APIS = {
    **CANCEL,
    "OCI_API_BLOBS_DIGEST_HEADER": "true",
    "OCI_API_BLOBS_MOUNT_ANONYMOUS": "true",
    "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
    "OCI_API_MANIFESTS_TAG_PARAM": "true",
    "OCI_DATA_SHA512": "true",
    "OCI_DATA_NONDISTRIBUTABLE": "true",
}
SPARSE_DATA = {"OCI_DATA_SPARSE": "true"}
SPARSE_SERVER = {"CARGOHOLD_REGISTRY__CHECK_REFERENCES": "false"}

LOGIN = {"OCI_USERNAME": "conformance", "OCI_PASSWORD": "correct horse"}
HTPASSWD = "conformance:$2b$05$8LIQ0WNmKlX56oLr/g3I1ej3P7BiQPXwy5Jl.KOK07jKPK7S4adiK"

_NOWHERE_ELSE = "a bearer token mounts from where it may pull, and it says so of the repository pushed to alone"
NO_ANONYMOUS_MOUNT = {
    f"{algorithm} blobs/mount anonymous/blob-mount-anonymous": _NOWHERE_ELSE for algorithm in ("sha256", "sha512")
}


@dataclass(frozen=True, slots=True)
class Profile:
    """How the suite and the server are set for one run; `least` is the number of tests that the suite then has, `skips`
    the cases that are skipped, each with why that is right.
    """

    version: str
    least: int
    suite: Mapping[str, str]
    server: Mapping[str, str] = field(default_factory=dict)
    login: bool = False
    skips: Mapping[str, str] = field(default_factory=dict)


PROFILES = {
    "1.1": Profile("1.1", 860, CANCEL),
    "dev": Profile("dev", 980, OPTIONAL_APIS),
    "dev-two-workers": Profile("dev", 980, OPTIONAL_APIS, {"CARGOHOLD_SERVER__WORKERS": "2"}),
    "1.1-with-login": Profile("1.1", 856, {**CANCEL, **LOGIN}, login=True, skips=NO_ANONYMOUS_MOUNT),
    "dev-with-login": Profile("dev", 980, {**OPTIONAL_APIS, **LOGIN}, login=True, skips=NO_ANONYMOUS_MOUNT),
    "dev-sparse": Profile("dev", 1030, {**OPTIONAL_APIS, **SPARSE_DATA}, SPARSE_SERVER),
}


@contextmanager
def registry(url: str, directory: Path, profile: Profile) -> Iterator[str]:
    """HOST:PORT of the registry at `url`, or of a server of our own that runs in `directory`."""
    if url:
        yield url.removeprefix("http://").rstrip("/")
        return
    environment = dict(profile.server)
    if profile.login:
        (directory / "htpasswd").write_text(HTPASSWD)
        environment["CARGOHOLD_AUTH__HTPASSWD"] = str(directory / "htpasswd")
    with live_server(directory, environment=environment) as server:
        yield server.address


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PROFILES)
def test_the_official_suite_fails_nothing_and_skips_what_its_profile_says_alone(
    name: str, registry_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = PROFILES[name]
    program = need("conformance")

    with registry(registry_url, tmp_path, profile) as address:
        report = run_suite(program, address, tmp_path / "results", profile.version, profile.suite)

    with capsys.disabled():
        print(f"\nconformance {name}: {report}")
    assert [f"{case.name}: {case.message}" for case in report.of("failure", "error")] == []
    assert {case.name: case.message for case in report.of("skipped") if case.name not in profile.skips} == {}
    assert {case.name for case in report.of("skipped")} == set(profile.skips)
    assert (report.failed, report.skipped) == (0, len(profile.skips))
    assert report.total >= profile.least
