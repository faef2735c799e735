"""Looking around with other rights, on a storage that goes away, and without leaving traces."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from registry import app_storage
from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.local_place import LocalPlace
from registry.content.names import RepositoryName
from storage_backends.base import StoredObject
from storage_backends.errors import Unavailable
from storage_backends.filesystem import FilesystemBackend
from tests.guarded import Guarded, guarded
from tests.live_server import LiveServer, live_server
from tests.unit.cli.conftest import Cargohold
from tests.unit.cli.shelf import ONE, fill

PASSWORDS = {"ana": "ana's password", "bob": "bob's password"}


def test_looking_is_not_pulling(cargohold: Cargohold, tmp_path: Path) -> None:
    fill(tmp_path / "data")
    with live_server(tmp_path) as server:
        image = f"{server.address}/team/app:1"
        for arguments in (["images"], ["inspect", image], ["history", image], ["du"], ["rmi", image, "--dry-run"]):
            url = [] if image in arguments else ["--url", server.address]
            assert cargohold(*arguments, *url).code == 0
        looked = pulled(server)
    with live_server(tmp_path) as server:
        httpx.get(f"{server.url}/v2/team/app/manifests/1", trust_env=False).raise_for_status()
        used = pulled(server)

    assert looked == []
    assert used == [ONE.manifest.digest.removeprefix("sha256:")]


def pulled(server: LiveServer) -> list[str]:
    """The manifests that a server notes as pulled when it ends."""
    assert server.stop() == 0
    return [file.name for file in (server.root / keyspace.pulls("team/app")).rglob("*") if file.is_file()]


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Guarded]:
    """A registry in which ana may pull team/*, and change nothing, and bob may do everything."""
    fill(tmp_path / "data")
    rules = """
access:
  rules:
    - {who: user:ana, repositories: "team/*", actions: pull}
    - {who: user:bob, repositories: "**", actions: [pull, push, delete]}
"""
    with guarded(tmp_path, rules, users=PASSWORDS) as running:
        yield running


def log_in(directory: Path, server: Guarded, user: str) -> None:
    """As `docker login` would."""
    secret = base64.b64encode(f"{user}:{PASSWORDS[user]}".encode()).decode()
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps({"auths": {server.address: {"auth": secret}}}))


def test_the_callers_login_says_what_is_seen_and_done(
    cargohold: Cargohold, private: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    url = ("--url", private.address)
    form = ("--format", "{{.Tag}}")

    nobody = cargohold("images", *url)
    log_in(tmp_path / "docker", private, "ana")
    some = cargohold("images", *url, *form)
    hidden = [cargohold("images", *url, name) for name in ("lib/base", "lib/nothing")]
    refused = [cargohold(*words, *url) for words in (["rmi", "team/app:1"], ["tag", "team/app:1", "team/app:2"])]
    log_in(tmp_path / "docker", private, "bob")
    every = cargohold("images", *url, *form)
    done = cargohold("rmi", *url, "team/app:1")

    assert (nobody.code, nobody.out, "docker login" in nobody.err) == (1, "", True)
    assert some.out.split() == ["1", "latest", "both"]
    assert [(each.code, len(each.out.splitlines())) for each in hidden] == [(0, 1), (0, 1)]
    # whether a repository is there that she may not pull, she is not told
    assert hidden[0].err.replace("lib/base", "") == hidden[1].err.replace("lib/nothing", "")
    assert [(each.code, each.out) for each in refused] == [(1, ""), (1, "")]
    assert len(every.out.split()) == 4
    assert done.out.startswith("Untagged: ")


@pytest.mark.parametrize(
    "command", ["images", "inspect team/app:1", "history team/app:1", "du", "referrers team/app:1"]
)
@pytest.mark.parametrize("calls", [0, 1])
def test_a_storage_that_goes_away_in_the_middle_leaves_nothing_half_said(
    cargohold: Cargohold, shelf: Path, monkeypatch: pytest.MonkeyPatch, command: str, calls: int
) -> None:
    monkeypatch.setattr(app_storage, "build_backend", lambda _: GoesAway(shelf, calls))

    done = cargohold(*command.split(), "--root", shelf)

    assert (done.code, done.out) == (1, "")
    assert "the storage failed: the disk is gone" in done.err


@pytest.mark.parametrize(
    ("command", "gone"),
    [
        ("rmi team/app:both", ("team/app", "both")),
        ("rmi team/app:1", ("team/app", "1")),
        ("tag team/app:both prod/app:1", None),
    ],
)
@pytest.mark.parametrize("calls", [1, 4, 9, 16])
def test_a_storage_that_goes_away_while_something_changes_leaves_every_tag_whole(
    cargohold: Cargohold,
    shelf: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    gone: tuple[str, str] | None,
    calls: int,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(app_storage, "build_backend", lambda _: GoesAway(shelf, calls))
        first = cargohold(*command.split(), "--root", shelf)
    listed = cargohold("images", "--root", shelf, "--all", "--json")
    second = cargohold(*command.split(), "--root", shelf)

    assert first.code in (0, 1)
    assert (listed.code, listed.err) == (0, "")
    assert second.code == 0 or "is not in" in second.err
    after = {(row["repository"], row["tag"]) for row in json.loads(cargohold("images", "--root", shelf, "--json").out)}
    assert (("prod/app", "1") in after) is (gone is None)
    assert {("team/app", "1"), ("team/app", "both")} - after == ({gone} if gone else set())


def test_what_has_gone_before_the_storage_went_away_is_told(
    cargohold: Cargohold, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = LocalPlace.delete_manifest
    deleted: list[Digest] = []

    async def delete(self: LocalPlace, name: RepositoryName, digest: Digest) -> None:
        if deleted:
            raise Unavailable("the disk is gone")
        deleted.append(digest)
        await whole(self, name, digest)

    monkeypatch.setattr(LocalPlace, "delete_manifest", delete)

    done = cargohold("rmi", "--root", shelf, "lib/base:1", "team/app:1", "team/app:latest")

    assert done.code == 1
    assert done.out == f"Untagged: lib/base:1\nDeleted: lib/base@{deleted[0]}\n"
    assert "the storage failed: the disk is gone" in done.err


class GoesAway(FilesystemBackend):
    """A directory of which nothing can be read after so many objects."""

    def __init__(self, root: Path, calls: int) -> None:
        super().__init__(root, scratch=keyspace.SCRATCH)
        self._left = calls

    async def get(self, key: str) -> StoredObject:
        self._left -= 1
        if self._left < 0:
            raise Unavailable("the disk is gone")
        return await super().get(key)
