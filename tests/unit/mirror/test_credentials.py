"""Credentials: out of docker's files and helpers as docker writes them, out of commands; and no secret in a message."""

import base64
import json
import os
from pathlib import Path

import pytest

from registry.mirror.credentials import Command, Credentials, DockerLogins, PasswordFile, Remembered, login_files
from registry.mirror.errors import CredentialsInvalid

_HOST = "registry.example.com:5000"


def _auth(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


def _file(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def _program(path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    return path


async def _login(path: Path, host: str = _HOST) -> Credentials | None:
    return await DockerLogins(host, [path]).get()


@pytest.mark.parametrize("key", [_HOST, f"https://{_HOST}", f"https://{_HOST}/", f"https://{_HOST}/v1/"])
async def test_a_login_is_found_under_each_form_of_its_host(tmp_path: Path, key: str) -> None:
    path = _file(tmp_path / "config.json", {"auths": {key: {"auth": _auth("alice:se:cret")}}})

    assert await _login(path) == Credentials("alice", "se:cret")
    assert await _login(path, "other.example.com") is None


async def test_docker_hub_is_known_by_the_name_that_docker_gives_it(tmp_path: Path) -> None:
    path = _file(tmp_path / "config.json", {"auths": {"https://index.docker.io/v1/": {"auth": _auth("a:b")}}})

    assert await _login(path, "docker.io") == Credentials("a", "b")


async def test_tokens_are_read(tmp_path: Path) -> None:
    auths = {_HOST: {"auth": _auth("alice:"), "identitytoken": "abc"}, "r": {"registrytoken": "def"}}
    path = _file(tmp_path / "config.json", {"auths": auths})

    assert await _login(path) == Credentials("alice", "", identity_token="abc")
    assert await _login(path, "r") == Credentials(registry_token="def")


async def test_a_helper_is_asked_with_the_host_on_its_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """[ "$1" = get ] && printf '{"Username":"%s","Secret":"s"}' "$(cat)\""""
    _program(tmp_path / "docker-credential-mine", text, monkeypatch)
    for document in ({"credHelpers": {_HOST: "mine"}}, {"credsStore": "mine"}):
        path = _file(tmp_path / "config.json", document)

        assert await _login(path) == Credentials(_HOST, "s")


async def test_a_helper_may_have_an_identity_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "docker-credential-mine", """echo '{"Username":"<token>","Secret":"s"}'""", monkeypatch)
    path = _file(tmp_path / "config.json", {"credsStore": "mine"})

    assert await _login(path) == Credentials(identity_token="s")


async def test_a_store_that_knows_nothing_leaves_it_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'echo "credentials not found in native keychain"; exit 1'
    _program(tmp_path / "docker-credential-mine", text, monkeypatch)
    path = _file(tmp_path / "config.json", {"credsStore": "mine", "auths": {_HOST: {"auth": _auth("a:b")}}})

    assert await _login(path) == Credentials("a", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exit 3", "exit code 3"),
        ("echo secret", "not JSON"),
        ("echo '{}'", "without a `Secret`"),
        ("echo '[1]'", "JSON"),
    ],
)
async def test_a_helper_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    _program(tmp_path / "docker-credential-mine", text, monkeypatch)
    path = _file(tmp_path / "config.json", {"credsStore": "mine"})

    with pytest.raises(CredentialsInvalid, match=f"docker-credential-mine.*{message}") as raised:
        await _login(path)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("name", ["../../bin/sh", "a/b", "a b", ""])
async def test_what_is_no_helper_is_not_run(tmp_path: Path, name: str) -> None:
    path = _file(tmp_path / "config.json", {"credHelpers": {_HOST: name}})

    with pytest.raises(CredentialsInvalid, match="is not the name of a credential helper"):
        await _login(path)


@pytest.mark.parametrize(
    "document",
    ["{", {"auths": {_HOST: {"auth": "!secret!"}}}, {"auths": {_HOST: {"auth": _auth("secret")}}}],
)
async def test_a_file_that_cannot_be_read_is_named_without_its_secrets(tmp_path: Path, document: object) -> None:
    path = _file(tmp_path / "config.json", document)

    with pytest.raises(CredentialsInvalid, match=r"config\.json") as raised:
        await _login(path)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("document", ["", "[]", {"auths": []}, {"auths": {_HOST: {}}}, {"credHelpers": 7}])
async def test_a_file_without_logins_is_nobody(tmp_path: Path, document: object) -> None:
    assert await _login(_file(tmp_path / "config.json", document)) is None
    assert await _login(tmp_path / "not-there.json") is None


def test_the_files_are_those_of_docker_and_podman(tmp_path: Path) -> None:
    home = {"HOME": "/home/a", "XDG_RUNTIME_DIR": "/run/user/1"}

    assert login_files(home)[:2] == [Path("/home/a/.docker/config.json"), Path("/run/user/1/containers/auth.json")]
    assert login_files({**home, "DOCKER_CONFIG": "/etc/d"})[0] == Path("/etc/d/config.json")
    assert login_files({**home, "REGISTRY_AUTH_FILE": "/etc/a.json"}) == [Path("/etc/a.json")]


@pytest.mark.parametrize(("user", "is_asked"), [(0, True), (1000, False)])
def test_without_a_runtime_directory_root_has_its_logins_of_podman_elsewhere(
    monkeypatch: pytest.MonkeyPatch, user: int, *, is_asked: bool
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: user)

    assert (Path("/run/containers/0/auth.json") in login_files({"HOME": "/home/a"})) is is_asked


async def test_a_password_file_is_read_at_each_login(tmp_path: Path) -> None:
    path = _file(tmp_path / "password", "one\n")
    source = PasswordFile("alice", path)
    assert await source.get() == Credentials("alice", "one")

    path.write_text("two\n")

    assert await source.get() == Credentials("alice", "two")
    path.unlink()
    with pytest.raises(CredentialsInvalid, match="cannot be read"):
        await source.get()


async def test_what_is_dear_is_asked_for_again_after_a_while_and_when_it_was_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = _program(tmp_path / "give", f"echo x >> {tmp_path}/count; wc -l < {tmp_path}/count", monkeypatch)
    now = [0.0]
    source = Remembered(Command([str(program)], "AWS"), lambda: now[0])

    first, second, third = await source.get(), await source.get(), await source.get(anew=True)
    now[0] = 901.0
    fourth = await source.get()

    assert first == second == Credentials("AWS", "1")
    assert third == Credentials("AWS", "2")
    assert fourth == Credentials("AWS", "3")


async def test_a_command_may_print_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = _program(tmp_path / "give", """echo '{"username": "me", "password": "secret"}'""", monkeypatch)

    assert await Command([str(program)]).get() == Credentials("me", "secret")


@pytest.mark.parametrize(
    ("text", "message"), [("", "print a password"), ("echo a; echo b", "in one line"), ("exit 1", "exit code 1")]
)
async def test_a_command_that_prints_no_password_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    program = _program(tmp_path / "give", text, monkeypatch)

    with pytest.raises(CredentialsInvalid, match=message):
        await Command([str(program)]).get()
    with pytest.raises(CredentialsInvalid, match="not there"):
        await Command(["/nowhere/at/all"]).get()


def test_no_secret_is_shown() -> None:
    assert "secret" not in repr(Credentials("a", "secret", "secret", "secret"))
