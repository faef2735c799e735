"""`cargohold token` and `user`: whose tokens and logins there are, and which of them a command ends."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from io import StringIO
from pathlib import Path
from typing import TypeVar

import bcrypt
import pytest

from auth.identity import Credential, Identity, Kind
from auth.passwords import stamp_of
from config.settings import Settings
from config.storage import StorageSettings
from registry.app_auth import build_accounts, build_refresh_tokens
from registry.app_storage import build_backend
from storage_backends.base import StorageBackend
from tests.unit.cli.conftest import Cargohold

T = TypeVar("T")
AS_BEFORE = "correct horse\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings with a user in an htpasswd file: carol."""
    stored = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (tmp_path / "htpasswd").write_text(f"carol:{stored}\n")
    (tmp_path / "c.yml").write_text("auth: {htpasswd: htpasswd}\n")
    return tmp_path / "c.yml"


@pytest.fixture
def alice(cargohold: Cargohold, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of the storage."""
    monkeypatch.setattr(sys, "stdin", StringIO(AS_BEFORE * 2))
    assert cargohold("user", "add", "alice", "--password-stdin", "-c", config).code == 0


def in_storage(tmp_path: Path, work: "Callable[[Settings, StorageBackend], Awaitable[T]]") -> T:
    """What comes of work on the storage that the commands use."""
    settings = Settings(storage=StorageSettings(root=tmp_path / "data"))

    async def done() -> T:
        return await work(settings, build_backend(settings))

    return asyncio.run(done())


def begin_login(tmp_path: Path, name: str, credential: Credential, kind: Kind = Kind.USER) -> None:
    """Let a client keep a login of somebody."""

    async def work(settings: Settings, backend: StorageBackend) -> None:
        identity = Identity(kind, name, credential=credential)
        await build_refresh_tokens(settings, backend).issue(identity, "cargohold", "docker")

    in_storage(tmp_path, work)


def create(cargohold: Cargohold, config: Path, *arguments: str) -> str:
    """Make a token; return its id."""
    made = cargohold("token", "create", *arguments, "--json", "-c", config)
    assert made.code == 0, made.err
    return str(json.loads(made.out)["id"])


def logins(cargohold: Cargohold, config: Path) -> list[str]:
    """Whose logins are kept."""
    listed = json.loads(cargohold("token", "list", "--logins", "--json", "-c", config).out)
    return sorted(entry["user"] for entry in listed)


@pytest.mark.usefixtures("alice")
def test_a_name_that_several_tokens_have_ends_none_of_them(cargohold: Cargohold, config: Path) -> None:
    robot = create(cargohold, config, "--name", "ci", "--scope", "a:pull")
    of_alice = create(cargohold, config, "--name", "ci", "--user", "alice")
    of_carol = create(cargohold, config, "--name", "ci", "--user", "carol")

    for more in ((), ("--dry-run",)):
        refused = cargohold("token", "revoke", "ci", *more, "-c", config)
        assert (refused.code, refused.out) == (1, "")
        for each in (f"{robot} (a robot)", f"{of_alice} (of alice)", f"{of_carol} (of carol)", "--user"):
            assert each in refused.err

    assert f"access token ci ({of_carol})" in cargohold("token", "revoke", "ci", "--user", "carol", "-c", config).out
    assert f"access token ci ({robot})" in cargohold("token", "revoke", robot, "-c", config).out
    assert cargohold("token", "revoke", "ci", "--user", "carol", "-c", config).code == 1
    assert f"access token ci ({of_alice})" in cargohold("token", "revoke", "ci", "-c", config).out


def test_a_token_that_is_revoked_takes_the_logins_along_that_came_of_it(
    cargohold: Cargohold, config: Path, tmp_path: Path
) -> None:
    token = create(cargohold, config, "--name", "ci", "--scope", "a:pull")
    begin_login(tmp_path, "ci", Credential("token", token), Kind.ROBOT)
    begin_login(tmp_path, "other", Credential("token", "another"), Kind.ROBOT)

    said = cargohold("token", "revoke", "ci", "--dry-run", "-c", config).out.splitlines()
    assert said[1].startswith("would end: the login of robot:ci, begun ")
    assert logins(cargohold, config) == ["robot:ci", "robot:other"]
    said = cargohold("token", "revoke", "ci", "-c", config).out.splitlines()
    assert said[1].startswith("ended: the login of robot:ci, begun ")
    assert logins(cargohold, config) == ["robot:other"]


@pytest.mark.usefixtures("alice")
def test_a_password_that_is_changed_takes_the_logins_along_that_came_of_it(
    cargohold: Cargohold, config: Path, tmp_path: Path
) -> None:
    async def stored(_: Settings, backend: StorageBackend) -> str:
        return (await build_accounts(backend).state()).users["alice"].password_hash

    begin_login(tmp_path, "alice", Credential("password", stamp=stamp_of(in_storage(tmp_path, stored))))
    begin_login(tmp_path, "alice", Credential("token", "phone"))
    begin_login(tmp_path, "carol", Credential("password", stamp="another"))

    said = cargohold("user", "passwd", "alice", "--password-stdin", "-c", config).out

    assert "1 logins with the old one have ended" in said
    assert logins(cargohold, config) == ["alice", "carol"]


def test_what_a_user_of_another_source_leaves_behind_is_ended_by_name(
    cargohold: Cargohold, config: Path, tmp_path: Path
) -> None:
    create(cargohold, config, "--name", "laptop", "--user", "carol")
    robot = create(cargohold, config, "--name", "carol", "--scope", "a:pull")
    begin_login(tmp_path, "carol", Credential("ldap"))
    begin_login(tmp_path, "carol", Credential("token", robot), Kind.ROBOT)

    would = cargohold("user", "remove", "carol", "--dry-run", "-c", config)
    assert (would.code, would.out) == (0, "1 access tokens and 1 logins of carol would end\n")
    removed = cargohold("user", "remove", "carol", "-c", config)

    assert (removed.code, removed.out) == (0, "1 access tokens and 1 logins of carol have ended\n")
    assert "htpasswd" in removed.err
    [kept] = json.loads(cargohold("token", "list", "--json", "-c", config).out)
    assert kept["id"] == robot
    assert logins(cargohold, config) == ["robot:carol"]
    assert cargohold("user", "remove", "carol", "-c", config).code == 1


@pytest.mark.usefixtures("alice")
def test_a_personal_token_of_nobody_is_made_only_for_who_says_so(cargohold: Cargohold, config: Path) -> None:
    for known in ("alice", "carol"):
        create(cargohold, config, "--name", "laptop", "--user", known)

    refused = cargohold("token", "create", "--name", "laptop", "--user", "bob", "-c", config)
    assert (refused.code, refused.out) == (1, "")
    assert "no user bob" in refused.err
    assert "--force" in refused.err
    create(cargohold, config, "--name", "laptop", "--user", "bob", "--force")


@pytest.mark.parametrize("expires", ["36501d", "99999999999999d"])
def test_a_token_that_is_good_for_longer_than_times_can_be_told_is_refused(
    cargohold: Cargohold, config: Path, expires: str
) -> None:
    """It was kept, and no list of tokens could be shown any more."""
    refused = cargohold("token", "create", "--name", "ci", "--scope", "a:pull", "--expires", expires, "-c", config)

    assert (refused.code, refused.out, "or never" in refused.err) == (2, "", True)
    create(cargohold, config, "--name", "cd", "--scope", "a:pull")
    assert [token["name"] for token in json.loads(cargohold("token", "list", "--json", "-c", config).out)] == ["cd"]


@pytest.mark.parametrize("expires", ["0", "0d", "0h0m"])
def test_a_token_that_is_over_at_once_is_refused(cargohold: Cargohold, config: Path, expires: str) -> None:
    refused = cargohold("token", "create", "--name", "ci", "--scope", "a:pull", "--expires", expires, "-c", config)

    assert (refused.code, refused.out) == (2, "")
    assert "never" in refused.err
