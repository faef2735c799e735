"""Every client logs in with its own command, keeps the credential where it always does, and is let in by the rules."""

import base64
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.commands import Result, run
from tests.clients.docker_engine import DockerEngine
from tests.guarded import PASSWORDS, Guarded, guarded
from tests.images import random_image, write_docker_archive, write_oci_layout
from tests.programs import need

REVOKED_SECONDS = 2.5
"""What is promised: so long after a command no process accepts any more what it has revoked."""
HELPER = """#!/bin/sh
# a credential helper that keeps what docker gives it in one file
case "$1" in
    store) cat > "$STORE" ;;
    get) cat > /dev/null; cat "$STORE" || { echo "credentials not found in native keychain"; exit 1; } ;;
    erase) cat > /dev/null; rm -f "$STORE" ;;
    list) echo '{}' ;;
esac
"""


@pytest.fixture(scope="module")
def closed() -> Iterator[Guarded]:
    """A registry with accounts, on two workers."""
    directory = Path(tempfile.mkdtemp(prefix="cargohold-logins-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        yield stack.enter_context(guarded(directory, arguments=["--workers", "2"]))


@pytest.fixture
def password(tmp_path: Path) -> Callable[[str], Path]:
    """A file that holds a password, to be piped into a client."""

    def write(text: str) -> Path:
        (tmp_path / "password").write_text(text)
        return tmp_path / "password"

    return write


class TestDocker:
    """docker, against a real engine."""

    @pytest.fixture
    def image(self, docker: DockerEngine, closed: Guarded, seed: int, tmp_path: Path) -> str:
        """A local image under a name of alice's."""
        reference = f"{closed.address}/team/docker-{seed:08x}:1"
        write_docker_archive(tmp_path / "image.tar", {reference: random_image(seed, docker=True)})
        docker("load", "--input", tmp_path / "image.tar")
        return reference

    @pytest.fixture(autouse=True)
    def logged_out(self, docker: DockerEngine, closed: Guarded) -> Iterator[None]:
        """Nobody is logged in before or after a test."""
        yield
        docker("logout", closed.address)

    def login(self, docker: DockerEngine, closed: Guarded, name: str, password: Path, *, fails: bool = False) -> Result:
        return docker("login", "--username", name, "--password-stdin", closed.address, stdin=password, fails=fails)

    def test_a_user_logs_in_pushes_pulls_and_logs_out(
        self, docker: DockerEngine, closed: Guarded, image: str, password: Callable[[str], Path]
    ) -> None:
        assert "Login Succeeded" in self.login(docker, closed, "alice", password(PASSWORDS["alice"])).out

        docker("push", image)
        docker.forget(image)
        docker("pull", image)
        docker("logout", closed.address)
        docker.forget(image)

        assert "denied" in docker("pull", image, fails=True).text

    def test_a_wrong_password_is_refused_and_nothing_is_kept(
        self, docker: DockerEngine, closed: Guarded, image: str, password: Callable[[str], Path]
    ) -> None:
        refused = self.login(docker, closed, "alice", password("wrong"), fails=True)

        assert "the user name or password is wrong" in refused.text
        assert docker("push", image, fails=True)

    def test_a_robot_pushes_inside_its_scope_and_nowhere_else(
        self, docker: DockerEngine, closed: Guarded, image: str, password: Callable[[str], Path], seed: int
    ) -> None:
        outside = f"{closed.address}/clients/docker-{seed:08x}:1"
        docker("tag", image, outside)
        token = closed.robot(f"robot-{seed:08x}", "team/*:pull,push")

        self.login(docker, closed, f"robot-{seed:08x}", password(token))

        docker("push", image)
        refused = docker("push", outside, fails=True)
        assert "denied" in refused.text.lower()

    def test_without_a_login_what_is_public_can_be_pulled_and_nothing_else(
        self, docker: DockerEngine, closed: Guarded, image: str, password: Callable[[str], Path], seed: int
    ) -> None:
        public = f"{closed.address}/public/docker-{seed:08x}:1"
        docker("tag", image, public)
        self.login(docker, closed, "alice", password(PASSWORDS["alice"]))
        docker("push", image)
        docker("push", public)
        docker("logout", closed.address)
        docker.forget(image, public)

        docker("pull", public)

        docker("pull", image, fails=True)
        docker("push", public, fails=True)

    def test_a_user_sees_nothing_of_anothers_repository(
        self, docker: DockerEngine, closed: Guarded, image: str, password: Callable[[str], Path]
    ) -> None:
        self.login(docker, closed, "alice", password(PASSWORDS["alice"]))
        docker("push", image)
        docker.forget(image)

        self.login(docker, closed, "bob", password(PASSWORDS["bob"]))

        there = docker("pull", image, fails=True).text
        not_there = docker("pull", f"{image}-none", fails=True).text
        assert there.replace(image, "X") == not_there.replace(f"{image}-none", "X")

    def test_a_credential_helper_keeps_an_identity_token_and_no_password(
        self,
        docker: DockerEngine,
        closed: Guarded,
        image: str,
        password: Callable[[str], Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        helper, store = tmp_path / "docker-credential-kept", tmp_path / "kept"
        helper.write_text(HELPER)
        helper.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setenv("STORE", str(store))
        (tmp_path / "config").mkdir()
        (tmp_path / "config/config.json").write_text(json.dumps({"credsStore": "kept"}))
        own = docker.with_config(tmp_path / "config")

        self.login(own, closed, "alice", password(PASSWORDS["alice"]))
        kept = json.loads(store.read_text())

        assert kept["Username"] == "<token>"
        assert PASSWORDS["alice"] not in store.read_text()
        own("push", image)
        [login] = [one for one in closed.logins() if kept["Secret"].split("_")[2] == one["id"]]
        closed.cargohold("token", "revoke", str(login["id"]))
        time.sleep(REVOKED_SECONDS)
        own("push", image, fails=True)


@dataclass(frozen=True)
class Tool:
    """How one client logs in, out, pushes a layout and pulls it; `{address}` etc. are filled in."""

    name: str
    login: str
    logout: str
    push: str
    pull: str
    environment: str
    asks: bool = True
    """False if it keeps whatever it is given, and finds out at the first request whether it is right."""


TOOLS = [
    Tool(
        "skopeo",
        "skopeo login --tls-verify=false --username {user} --password-stdin {address}",
        "skopeo logout {address}",
        "skopeo copy --dest-tls-verify=false oci:{layout}:1 docker://{image}",
        "skopeo copy --src-tls-verify=false docker://{image} oci:{out}:1",
        "REGISTRY_AUTH_FILE={home}/auth.json",
    ),
    Tool(
        "podman",
        "podman --root={home}/root --runroot={home}/run --storage-driver=vfs login --tls-verify=false --username {user}"
        " --password-stdin {address}",
        "podman --root={home}/root --runroot={home}/run --storage-driver=vfs logout {address}",
        "podman --root={home}/root --runroot={home}/run --storage-driver=vfs push --tls-verify=false {id} {image}",
        "podman --root={home}/root --runroot={home}/run --storage-driver=vfs pull --tls-verify=false {image}",
        "REGISTRY_AUTH_FILE={home}/auth.json",
    ),
    Tool(
        "crane",
        "crane auth login --username {user} --password-stdin {address}",
        "crane auth logout {address}",
        "crane push {layout} {image}",
        "crane pull --format=oci {image} {out}",
        "DOCKER_CONFIG={home}",
        asks=False,
    ),
    Tool(
        "oras",
        "oras login --plain-http --username {user} --password-stdin {address}",
        "oras logout {address}",
        "oras cp --to-plain-http --from-oci-layout {layout}:1 {image}",
        "oras cp --from-plain-http --to-oci-layout {image} {out}:1",
        "DOCKER_CONFIG={home}",
    ),
    Tool(
        "regctl",
        "regctl registry login --user {user} --pass-stdin {address}",
        "regctl registry logout {address}",
        "regctl image copy ocidir://{layout}:1 {image}",
        "regctl image copy {image} ocidir://{out}:1",
        "REGCTL_CONFIG={home}/regctl.json",
    ),
]


@dataclass(frozen=True)
class Desk:
    """A client with a home of its own, in front of the registry."""

    tool: Tool
    values: dict[str, str]

    def __call__(self, command: str, *, fails: bool = False, stdin: Path | None = None, **values: str) -> Result:
        filled = {**self.values, **values}
        words = [word.format(**filled) for word in getattr(self.tool, command).split()]
        name, _, value = self.tool.environment.format(**filled).partition("=")
        # a client that finds no configuration of its own must not find the user's
        environment = {name: value, "HOME": filled["home"], "XDG_RUNTIME_DIR": filled["home"]}
        return run(need(words[0]), *words[1:], env=environment, stdin=stdin, fails=fails)


@pytest.fixture(params=TOOLS, ids=lambda tool: tool.name)
def desk(request: pytest.FixtureRequest, closed: Guarded, seed: int, tmp_path: Path) -> Iterator[Desk]:
    tool: Tool = request.param
    need(tool.name)
    home = Path(tempfile.mkdtemp(prefix="cargohold-desk-"))
    image = random_image(seed, docker=True)
    write_oci_layout(tmp_path / "layout", {"1": random_image(seed)})
    values = {
        "address": closed.address,
        "home": str(home),
        "layout": str(tmp_path / "layout"),
        "out": str(tmp_path / "out"),
        "image": f"{closed.address}/team/{tool.name}-{seed:08x}:1",
        "id": image.config.digest,
    }
    found = Desk(tool, values)
    if tool.name == "podman":
        write_docker_archive(tmp_path / "image.tar", {"localhost/any:1": image})
        storage = [word.format(**values) for word in tool.login.split()[1:4]]
        run(need("podman"), *storage, "load", "--input", tmp_path / "image.tar", env={"HOME": str(home)})
    if tool.name == "regctl":
        plain = ("registry", "set", "--skip-check", "--tls=disabled", closed.address)
        run(need("regctl"), *plain, env={"REGCTL_CONFIG": f"{home}/regctl.json"})
    yield found
    shutil.rmtree(home)


def test_a_user_logs_in_pushes_pulls_and_logs_out(desk: Desk, password: Callable[[str], Path]) -> None:
    desk("login", user="alice", stdin=password(PASSWORDS["alice"]))

    desk("push")
    desk("pull")
    desk("logout")

    desk("push", fails=True)
    desk("pull", fails=True)


def test_a_wrong_password_opens_nothing(desk: Desk, password: Callable[[str], Path]) -> None:
    desk("login", user="alice", stdin=password("wrong"), fails=desk.tool.asks)

    desk("push", fails=True)


def test_a_robots_token_is_good_for_its_scope(desk: Desk, closed: Guarded, password: Callable[[str], Path]) -> None:
    image = desk.values["image"]
    repository = image.partition("/")[2].rpartition(":")[0]
    name = repository.replace("/", "-")
    desk("login", user=name, stdin=password(closed.robot(name, f"{repository}:pull,push")))

    desk("push")
    desk("push", image=image.replace("/team/", "/clients/"), fails=True)


def test_a_personal_token_stands_in_for_the_password(
    desk: Desk, closed: Guarded, password: Callable[[str], Path], seed: int
) -> None:
    name = f"laptop-{seed:08x}"
    token = closed.cargohold("token", "create", "--name", name, "--user", "alice").strip()
    desk("login", user="alice", stdin=password(token))
    desk("push")

    closed.cargohold("token", "revoke", name)
    time.sleep(REVOKED_SECONDS)

    desk("push", fails=True)
    desk("login", user="alice", stdin=password(token), fails=desk.tool.asks)


def test_what_is_public_is_pulled_without_a_login(desk: Desk, closed: Guarded, password: Callable[[str], Path]) -> None:
    public = desk.values["image"].replace("/team/", "/public/")
    desk("login", user="alice", stdin=password(PASSWORDS["alice"]))
    desk("push", image=public)
    desk("logout")

    desk("pull", image=public)

    desk("push", image=public.replace(":1", ":2"), fails=True)


@pytest.fixture
def crane(closed: Guarded, tmp_path: Path) -> Callable[..., Result]:
    """`crane` logged in as alice."""
    environment = {"DOCKER_CONFIG": str(tmp_path / "crane")}
    (tmp_path / "crane").mkdir()
    known = base64.b64encode(f"alice:{PASSWORDS['alice']}".encode()).decode()
    (tmp_path / "crane/config.json").write_text(json.dumps({"auths": {closed.address: {"auth": known}}}))
    return lambda *words, fails=False: run(need("crane"), *words, env=environment, fails=fails)


def test_crane_mounts_from_one_repository_into_another_and_deletes(
    crane: Callable[..., Result], closed: Guarded, seed: int, tmp_path: Path
) -> None:
    write_oci_layout(tmp_path / "layout", {"1": random_image(seed)})
    image = f"{closed.address}/team/mount-{seed:08x}"
    digest = crane("push", tmp_path / "layout", f"{image}:1").out.strip().rpartition("@")[2]

    copied = crane("copy", f"{image}:1", f"{image}-copy:1")

    assert "mounted blob" in copied.err
    crane("delete", f"{image}-copy@{digest}")
    crane("digest", f"{image}-copy:1", fails=True)


def test_the_catalog_shows_to_each_what_they_may_pull(
    crane: Callable[..., Result], closed: Guarded, seed: int, tmp_path: Path
) -> None:
    write_oci_layout(tmp_path / "layout", {"1": random_image(seed)})
    name = f"team/seen-{seed:08x}"
    crane("push", tmp_path / "layout", f"{closed.address}/{name}:1")
    known = base64.b64encode(f"bob:{PASSWORDS['bob']}".encode()).decode()
    (tmp_path / "bob").mkdir()
    (tmp_path / "bob/config.json").write_text(json.dumps({"auths": {closed.address: {"auth": known}}}))

    mine = crane("catalog", closed.address).out.split()
    bobs = run(need("crane"), "catalog", closed.address, env={"DOCKER_CONFIG": str(tmp_path / "bob")}).out.split()

    assert name in mine
    assert not any(entry.startswith("team/") for entry in bobs)


def test_skopeo_deletes_with_a_login(closed: Guarded, crane: Callable[..., Result], seed: int, tmp_path: Path) -> None:
    write_oci_layout(tmp_path / "layout", {"1": random_image(seed)})
    image = f"{closed.address}/team/gone-{seed:08x}:1"
    crane("push", tmp_path / "layout", image)

    run(
        *(need("skopeo"), "delete", "--tls-verify=false", f"--creds=alice:{PASSWORDS['alice']}", f"docker://{image}"),
    )

    crane("digest", image, fails=True)
