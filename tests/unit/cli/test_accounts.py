"""`cargohold user`, `token`, `policy` and `auth keys`: what they say, what they change, how they refuse."""

import asyncio
import json
import os
import sys
from io import StringIO
from pathlib import Path

import bcrypt
import pytest

from auth.keys import SigningKeys
from registry.content import keyspace
from storage_backends.filesystem import FilesystemBackend
from tests.unit.cli.conftest import Cargohold

CONFIG = """
auth: {enabled: true}
access:
  groups: {ops: [bob]}
  rules:
    - {who: group:dev, repositories: "team/**", actions: [pull, push]}
    - {who: group:ops, repositories: "**", actions: "*"}
    - {who: authenticated, repositories: "team/locked", actions: push, effect: deny}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "c.yml").write_text(CONFIG)
    return tmp_path / "c.yml"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password on standard input, as often as it is asked for."""
    monkeypatch.setattr(sys, "stdin", StringIO("correct horse\ncorrect horse\n"))


@pytest.mark.usefixtures("typed")
def test_a_user_is_made_changed_listed_and_removed(cargohold: Cargohold, config: Path, tmp_path: Path) -> None:
    made = cargohold("user", "add", "alice", "-g", "dev", "--password-stdin", "-c", config)
    assert (made.code, made.out) == (0, "user alice was made\n")
    assert cargohold("user", "passwd", "alice", "--password-stdin", "-c", config).code == 0

    listed = cargohold("user", "list", "-c", config).out.splitlines()
    assert listed[0].split() == ["NAME", "GROUPS", "CREATED"]
    assert listed[1].split()[:2] == ["alice", "dev"]
    [user] = json.loads(cargohold("user", "list", "--json", "-c", config).out)
    assert (user["name"], user["groups"]) == ("alice", ["dev"])

    assert "would be removed" in cargohold("user", "remove", "alice", "--dry-run", "-c", config).out
    assert "was removed, with 0 access tokens and 0 logins" in cargohold("user", "remove", "alice", "-c", config).out
    again = cargohold("user", "remove", "alice", "-c", config)
    assert (again.code, "user list" in again.err) == (1, True)
    kept = b"".join(file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file())
    assert b"correct horse" not in kept


@pytest.mark.usefixtures("typed")
def test_who_makes_a_user_that_nobody_asks_for_is_told_so(cargohold: Cargohold) -> None:
    assert "CARGOHOLD_AUTH__ENABLED=true" in cargohold("user", "add", "alice", "--password-stdin").err


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(("name", "is_noted"), [("Alice", True), ("alice@example.com", True), ("alice.b", False)])
def test_who_makes_a_user_without_a_namespace_is_told_so(
    cargohold: Cargohold, config: Path, name: str, is_noted: bool
) -> None:
    assert (
        "rules with {user} do not cover" in cargohold("user", "add", name, "--password-stdin", "-c", config).err
    ) is is_noted


def test_without_a_terminal_the_password_has_to_be_piped_in(
    cargohold: Cargohold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO())

    refused = cargohold("user", "add", "alice")

    assert (refused.code, "--password-stdin" in refused.err) == (2, True)


@pytest.mark.parametrize("password", ["", "x" * 73])
def test_a_password_that_cannot_be_one_is_refused(
    cargohold: Cargohold, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(password + "\n"))

    refused = cargohold("user", "add", "alice", "--password-stdin")

    assert (refused.code, "1 to 72 bytes" in refused.err) == (1, True)


def test_a_token_is_shown_once(cargohold: Cargohold, config: Path) -> None:
    made = cargohold("token", "create", "--name", "ci", "--scope", "team/*:pull,push", "-c", config)
    secret = made.out.strip()
    assert secret.startswith("cargohold_robot_")
    assert "docker login --username ci" in made.err

    listed = cargohold("token", "list", "-c", config).out
    assert secret not in listed
    row = listed.splitlines()[1].split()
    assert row[1:4] == ["ci", "(robot)", "team/*:pull,push"]
    assert row[-1] == "never"
    [entry] = json.loads(cargohold("token", "list", "--json", "-c", config).out)
    assert (entry["user"], entry["scope"], entry["last_used"]) == (None, ["team/*:pull,push"], "never")

    assert cargohold("token", "revoke", "ci", "--dry-run", "-c", config).out.startswith("would end: access token ci")
    assert cargohold("token", "revoke", "ci", "-c", config).out.startswith("ended: access token ci")
    assert cargohold("token", "revoke", "ci", "-c", config).code == 1
    assert json.loads(cargohold("token", "list", "--logins", "--json", "-c", config).out) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--name", "ci"),
        ("--name", "ci", "--scope", "team/*"),
        ("--name", "ci", "--scope", "team/*:fly"),
        ("--name", "ci", "--scope", "team /x:pull"),
        ("--name", "ci", "--scope", "Team/**:pull"),
        ("--name", "ci", "--scope", "users/{user}/**:pull"),
        ("--name", "ci", "--scope", "users/{usr}/**:pull", "--user", "alice", "--force"),
        ("--name", "ci", "--scope", "a:pull", "--expires", "soon"),
    ],
)
def test_a_token_that_would_mean_nothing_is_refused(cargohold: Cargohold, arguments: tuple[str, ...]) -> None:
    refused = cargohold("token", "create", *arguments)

    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("cargohold: ")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("alice", "push", "team/app", "--group", "dev"), 0, "c.yml:6"),
        (("alice", "push", "team/app"), 1, "no rule allows it"),
        (("bob", "delete", "any/thing"), 0, "c.yml:7"),
        (("bob", "push", "team/locked"), 1, "denied by"),
        (("anonymous", "pull", "team/app"), 1, "no rule"),
        (("robot:ci", "pull", "team/app"), 1, "no rule"),
    ],
)
def test_the_rule_that_decides_is_named(
    cargohold: Cargohold, config: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    found = cargohold("policy", "check", *arguments, "-c", config)
    as_json = cargohold("policy", "check", *arguments, "-c", config, "--json")

    assert found.code == code
    assert says in found.out
    assert json.loads(as_json.out)["allowed"] is (code == 0)


@pytest.mark.parametrize(
    ("arguments", "settings", "says"),
    [
        (("bob", "push", "a"), "access: {read_only: true, ", "read-only mode (c.yml:2:21)"),
        (("bob", "delete", "a"), "access: {read_only: true, ", "read-only mode (c.yml:2:21)"),
        (("bob", "delete", "a"), "registry: {allow_delete: false}\naccess: {", "switched off (c.yml:2:26)"),
        (("bob", "push", "hub/a"), "mirror: {sources: [{prefix: hub, upstream: docker.io}]}\naccess: {", "docker.io"),
        (("bob", "pull", "A/b"), "access: {", "no repository can have the name 'A/b'"),
        (("bob", "admin", "a//b"), "access: {", "no repository can have the name 'a//b'"),
    ],
)
def test_what_the_server_refuses_to_everybody_is_not_allowed(
    cargohold: Cargohold, config: Path, arguments: tuple[str, ...], settings: str, says: str
) -> None:
    rules = "rules: [{who: user:bob, repositories: '**', actions: '*'}]}\n"
    config.write_text(f"auth: {{enabled: true}}\n{settings}{rules}")

    found = cargohold("policy", "check", *arguments, "-c", "c.yml")

    assert (found.code, found.out.startswith("denied: "), says in found.out) == (1, True, True), found.out


def test_in_read_only_mode_pulling_and_looking_after_the_registry_are_allowed(
    cargohold: Cargohold, config: Path
) -> None:
    config.write_text(CONFIG.replace("access:\n", "access:\n  read_only: true\n"))

    assert cargohold("policy", "check", "bob", "pull", "a", "-c", config).code == 0
    assert cargohold("policy", "check", "bob", "admin", "a", "-c", config).code == 0


@pytest.mark.usefixtures("typed")
def test_who_asks_about_somebody_whom_there_is_not_is_told_so(
    cargohold: Cargohold, config: Path, tmp_path: Path
) -> None:
    def note(user: str) -> str:
        return cargohold("policy", "check", user, "pull", "a", "-c", config).err

    assert "there is no user alice" in note("alice")
    assert "there is no robot ci" in note("robot:ci")
    assert "there is no robot ci" in cargohold("policy", "check", "robot:ci", "pull", "a", "-c", config, "--json").out
    cargohold("user", "add", "alice", "--password-stdin", "-c", config)
    cargohold("token", "create", "--name", "ci", "--scope", "a:pull", "-c", config)
    cargohold("token", "create", "--name", "old", "--scope", "a:pull", "--expires", "1ms", "-c", config)
    assert note("alice") == note("robot:ci") == note("anonymous") == ""
    assert "has expired" in note("robot:old")

    (tmp_path / "users").write_text(f"dave:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    config.write_text(CONFIG.replace("true}", "true, htpasswd: users}"))
    assert (note("dave"), "there is no user eve" in note("eve")) == ("", True)
    (tmp_path / "users").unlink()
    assert "whether there is a user eve is not known: users cannot be read" in note("eve")
    config.write_text(CONFIG.replace("true}", "true, ldap: {url: 'ldap://x', user_base: x}}"))
    assert note("eve") == "", "a directory may know"


def test_an_action_that_there_is_not_is_refused(cargohold: Cargohold, config: Path) -> None:
    assert cargohold("policy", "check", "alice", "fly", "a", "-c", config).code == 2


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("auth: {enabled: true}\naccess:\n  rules:\n    - {who: x, repositories: a, actions: pull}\n", "c.yml:4:7"),
        (
            "auth: {enabled: true}\naccess:\n  rules:\n    - {who: anonymous, repositories: 'a b', actions: pull}\n",
            ":4:7",
        ),
        (
            "auth: {enabled: true}\naccess:\n  rules:\n    - {who: anonymous, repositories: a, actions: fly}\n",
            "c.yml:4:7",
        ),
        (
            "auth: {enabled: true}\naccess:\n  rules:\n"
            "    - {who: authenticated, repositories: '**', actions: '*'}\n"
            "    - {who: authenticated, repositories: 'Private/**', actions: '*', effect: deny}\n",
            "c.yml:5:7",
        ),
        ("auth: {enabled: true}\naccess:\n  immutable_tags:\n    - {repositories: 'Prod/**', tags: v1}\n", ":4:7"),
        ("auth: {enabled: true}\naccess:\n  immutable_tags:\n    - {tags: 'v1/*'}\n", ":4:7"),
        ("access:\n  rules: []\n", "c.yml:2:10"),
        ("auth:\n  users:\n    - {name: a, password_hash: secret}\n", "c.yml:3:32"),
        ("auth:\n  ldap: {url: 'http://x', user_base: x}\n", "c.yml:2:15"),
        ("auth: {url: 'https://a.example'}\n", "c.yml:1:13"),
    ],
)
def test_a_mistake_in_the_rules_is_named_with_its_place(
    cargohold: Cargohold, config: Path, text: str, place: str
) -> None:
    config.write_text(text)

    found = cargohold("config", "check", config)

    assert (found.code, place in found.err) == (2, True), found.err
    assert "secret" not in found.err


def test_secrets_in_the_settings_are_not_shown(cargohold: Cargohold, config: Path) -> None:
    config.write_text("auth:\n  ldap: {url: 'ldap://x', user_base: x, bind_dn: x, bind_password: hidden horse}\n")

    assert "hidden horse" not in cargohold("config", "show", "-c", config).out


def test_keys_are_listed_and_rotated(cargohold: Cargohold, config: Path, tmp_path: Path) -> None:
    asyncio.run(SigningKeys(FilesystemBackend(tmp_path / "data", scratch=keyspace.SCRATCH), keyspace.AUTH).all())
    [first] = json.loads(cargohold("auth", "keys", "list", "--json", "-c", config).out)
    new = cargohold("auth", "keys", "rotate", "-c", config).out.split()[-1]

    assert [key["id"] for key in json.loads(cargohold("auth", "keys", "list", "--json", "-c", config).out)] == [
        first["id"],
        new,
    ]
    last = cargohold("auth", "keys", "rotate", "--at-once", "-c", config).out.split()[-1]
    assert [key["id"] for key in json.loads(cargohold("auth", "keys", "list", "--json", "-c", config).out)] == [last]


def test_where_there_are_no_keys_none_are_rotated_and_none_made(
    cargohold: Cargohold, config: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()

    refused = cargohold("auth", "keys", "rotate", "--at-once", "-c", config)

    assert (refused.code, "no keys" in refused.err) == (1, True)
    assert json.loads(cargohold("auth", "keys", "list", "--json", "-c", config).out) == []
    assert not list((tmp_path / "data").rglob("keys"))


@pytest.mark.parametrize(
    "command",
    [
        ("auth", "keys", "list"), ("auth", "keys", "rotate", "--at-once"),
        ("user", "list"), ("user", "passwd", "alice", "--password-stdin"), ("user", "remove", "alice"),
        ("token", "list"), ("token", "list", "--logins"), ("token", "revoke", "ci"),
    ],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.usefixtures("typed")
def test_in_a_storage_that_is_not_there_nothing_is_ended_and_nothing_made(
    cargohold: Cargohold, config: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    refused = cargohold(*command, "--root", tmp_path / "typo", "-c", config)

    assert (refused.code, "is not there" in refused.err) == (2, True)
    assert not (tmp_path / "typo").exists()


@pytest.mark.usefixtures("typed")
def test_who_makes_an_account_where_another_token_service_logs_in_is_told_so(
    cargohold: Cargohold, tmp_path: Path
) -> None:
    config = tmp_path / "c.yml"
    config.write_text("auth: {url: https://auth.example.com}\naccess: {rules: []}\n")
    for command in (("user", "add", "bob", "--password-stdin"), ("token", "create", "--name", "ci", "-s", "a:pull")):
        assert "https://auth.example.com" in cargohold(*command, "-c", config).err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write what others cannot read")
def test_root_does_not_write_what_the_server_of_another_user_could_not_read(
    cargohold: Cargohold, config: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", 12345, 12345)

    refused = cargohold("token", "create", "--name", "ci", "--scope", "a:pull", "-c", config)

    assert (refused.code, "setpriv --reuid=12345" in refused.err) == (2, True)
