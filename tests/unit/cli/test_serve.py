"""`cargohold serve` and `cargohold health`, as processes."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry import __version__
from tests.live_server import LiveServer, cargohold_command, live_server


def run(*arguments: str | Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run `cargohold ARGUMENTS` to its end, which has to come within 30 seconds."""
    command = [*cargohold_command(), *map(str, arguments)]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with live_server(tmp_path) as running:
        yield running


def test_the_start_up_line_says_what_listens_where_with_which_data_open_to_whom(server: LiveServer) -> None:
    [line] = [json.loads(line) for line in server.tail().splitlines() if '"listening"' in line]

    assert line["version"] == __version__
    assert line["address"] == server.url
    assert line["data"] == str(server.root)
    assert (
        line["writers"] == f"anyone who reaches {server.address} may push and delete: no authentication is configured"
    )


def test_people_get_the_same_as_text_and_are_told_how_to_begin(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("mirror: {default: hub, sources: [{prefix: hub, upstream: docker.io}]}\n")
    with live_server(tmp_path, arguments=["--log-format", "text", "--config", str(tmp_path / "c.yml")]) as server:
        said = server.tail()

    assert f"Cargohold {__version__} listens on {server.url}\n" in said
    assert f"data:   {server.root}\n" in said
    assert "may push and delete: no authentication is configured\n" in said
    assert "note:   mirror.default: a name that nothing here has" in said
    assert f"docker push {server.address}/IMAGE\n" in said


def test_who_opens_the_server_to_all_networks_is_told_so(tmp_path: Path) -> None:
    with live_server(tmp_path, arguments=["--allow-anonymous-writes", "--log-format", "text"]) as server:
        port = server.port
        server.stop()
        server.arguments = ["--allow-anonymous-writes", "--log-format", "text", "--listen", f"0.0.0.0:{port}"]
        server.start()
        said = server.tail()

    assert f"anyone who reaches port {port} of this machine may push and delete" in said
    assert f"docker push localhost:{port}/IMAGE\n" in said


def test_an_open_address_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    ended = run("serve", "--listen", "0.0.0.0:0", directory=tmp_path)

    assert ended.returncode == 2
    assert "--listen: server.listen: 0.0.0.0:0 can be reached from other machines" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_token_service_with_the_settings_of_a_registry_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("auth: {url: https://auth.example.com}\naccess: {rules: []}\n")

    done = run("auth", "serve", "--config", "c.yml", "--listen", "127.0.0.1:0", directory=tmp_path)

    assert (done.returncode, "auth.url" in done.stderr) == (2, True)
    assert not (tmp_path / "data").exists()


def test_an_address_that_is_taken_is_reported_with_a_remedy(server: LiveServer, tmp_path: Path) -> None:
    ended = run("serve", "--root", tmp_path / "other", "--listen", server.address, directory=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"cargohold: cannot listen on {server.address}: Address already in use; ")
    assert "Traceback" not in ended.stderr


def test_storage_that_cannot_be_used_is_reported_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = run("serve", "--root", tmp_path / "file", "--listen", "127.0.0.1:0", directory=tmp_path)

    assert ended.returncode == 1
    assert f"cannot use {tmp_path / 'file'} as storage" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_certificate_that_is_not_there_is_reported_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("server: {tls: {certificate: c.pem, key: k.pem}}\n")

    ended = run("serve", "--config", "c.yml", directory=tmp_path)

    assert ended.returncode == 2
    assert "server.tls.certificate: c.pem is not there\n  server.tls.key: k.pem is not there\n" in ended.stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_an_audit_log_that_cannot_be_written_is_reported_before_the_start(workers: int, tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(
        f"auth: {{enabled: true}}\nlog: {{audit: none/a.jsonl}}\nserver: {{workers: {workers}}}"
    )

    ended = run("serve", "--config", "c.yml", "--listen", "127.0.0.1:0", directory=tmp_path)

    assert ended.returncode == 2
    assert "  log.audit: none/a.jsonl cannot be made, for none is not there: name another file" in ended.stderr
    assert not (tmp_path / "data").exists()


def test_a_server_that_is_told_to_stop_ends_with_0(server: LiveServer) -> None:
    assert server.stop() == 0


def test_health_is_0_while_the_server_can_serve_and_1_when_it_is_gone(server: LiveServer, tmp_path: Path) -> None:
    well = run("health", server.url, directory=tmp_path)
    server.stop()
    gone = run("health", server.url, directory=tmp_path)

    assert (well.returncode, well.stdout) == (0, "ready\n")
    assert gone.returncode == 1
    assert gone.stderr.startswith("cargohold: the server does not answer: ")


def test_health_finds_the_server_of_the_settings_on_a_unix_socket(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(f"server: {{listen: 'unix:{tmp_path}/s'}}\n")
    command = [*cargohold_command(), "serve", "--config", "c.yml"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = json.loads(process.stderr.readline())  # written when it listens
        ended = run("health", "--config", "c.yml", directory=tmp_path)
        process.terminate()

    assert said["writers"].startswith(f"whoever may open {tmp_path}/s may push and delete")
    assert (ended.returncode, ended.stdout) == (0, "ready\n")


@pytest.mark.parametrize("url", ["localhost:5000", "ftp://localhost", "http://", "http://a b"])
def test_health_wants_a_url(url: str, tmp_path: Path) -> None:
    ended = run("health", url, directory=tmp_path)

    assert ended.returncode == 2
    assert ended.stderr == f"cargohold: {url} is not a URL such as http://127.0.0.1:5000\n"
