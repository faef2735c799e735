"""The server as a process: start, stop, workers, TLS, Unix sockets."""

import os
import signal
import socket
import ssl
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from registry.serving.listening import CannotListen, listen
from registry.serving.options import TLS, ServerOptions
from registry.serving.run import serve
from registry.serving.tls import TLSUnusable
from tests.unit.serving.process import PATIENCE_SECONDS, Process, started
from tests.unit.serving.running import Client, until

UPLOAD = b"PUT /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc"


def pid_of_a_worker(server: Process) -> int:
    with Client(server.port) as client:
        return int(client.get("/pid").body)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_lets_requests_finish_and_closes_idle_connections(
    tmp_path: Path, workers: int, number: signal.Signals
) -> None:
    with started(tmp_path, workers=workers) as server, Client(server.port) as idle, Client(server.port) as busy:
        assert idle.get("/pid").status == 200
        busy.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        until((tmp_path / "waiting").exists)
        os.killpg(server.process.pid, number)  # to all of them, as a terminal and systemd do

        assert idle.at_end()
        until(lambda: refuses(server.port))
        (tmp_path / "wait").touch()
        response = busy.response()
        assert (response.body, response.headers["connection"]) == (b"waited", "close")
        assert server.exit_code() == 0
    assert len(list(tmp_path.glob("ended-*"))) == workers


@pytest.mark.parametrize("workers", [1, 2])
def test_upload_that_outlasts_the_drain_is_cancelled_with_what_it_wrote_kept(tmp_path: Path, workers: int) -> None:
    with started(tmp_path, workers=workers, drain_timeout=0.3) as server, Client(server.port) as client:
        client.send(UPLOAD)
        until((tmp_path / "received").exists)
        server.signal(signal.SIGTERM)

        assert server.exit_code() == 0
    assert (tmp_path / "cancelled").read_text() == "3"


def test_a_thread_that_does_not_end_does_not_keep_the_server(tmp_path: Path) -> None:
    with started(tmp_path, drain_timeout=0.1) as server, Client(server.port) as client:
        client.send(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
        until((tmp_path / "waiting").exists)
        server.signal(signal.SIGTERM)

        assert server.exit_code() == 0


@pytest.mark.parametrize("path", ["/wait", "/hang"])
@pytest.mark.parametrize("workers", [1, 2])
def test_second_signal_stops_at_once(tmp_path: Path, workers: int, path: str) -> None:
    with started(tmp_path, workers=workers) as server, Client(server.port) as client:
        client.send(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
        until((tmp_path / "waiting").exists)
        server.signal(signal.SIGTERM)
        until(lambda: refuses(server.port))
        before = time.monotonic()
        server.signal(signal.SIGTERM)

        server.exit_code()
        assert time.monotonic() - before < 3


def test_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with started(tmp_path, workers=1) as alone:
        assert alone.port
    with started(tmp_path, workers=2) as server:
        first = pid_of_a_worker(server)
        os.kill(first, signal.SIGKILL)
        until(lambda: not alive(first))
        seen = {pid_of_a_worker(server) for _ in range(20)}

        assert first not in seen
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0


def test_workers_stop_when_their_parent_is_killed(tmp_path: Path) -> None:
    with started(tmp_path, workers=2) as server:
        workers = {pid_of_a_worker(server) for _ in range(30)}
        server.signal(signal.SIGKILL)
        server.exit_code()

        until(lambda: not any(alive(pid) for pid in workers))
        until(lambda: refuses(server.port))


def test_unix_socket_has_its_mode_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with started(tmp_path, unix_socket=path, unix_socket_mode=0o600) as server:
        assert server.address == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /pid HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
    assert not path.exists()


def test_unix_socket_of_a_dead_server_is_replaced_and_of_a_live_one_refused(tmp_path: Path) -> None:
    options = ServerOptions(unix_socket=tmp_path / "s")
    first = listen(options)
    with pytest.raises(CannotListen, match="another server does"):
        listen(options)
    first.close()
    listen(options).close()


def test_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")
    with pytest.raises(CannotListen, match="no socket"):
        listen(ServerOptions(unix_socket=tmp_path / "s"))
    assert (tmp_path / "s").read_text() == "precious"


def test_socket_of_a_server_of_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    first = listen(ServerOptions(unix_socket=tmp_path / "s"))
    with monkeypatch.context() as other_user:
        other_user.setattr("registry.serving.listening.socket.socket.connect", denied)
        with pytest.raises(CannotListen, match="another server does"):
            listen(ServerOptions(unix_socket=tmp_path / "s"))
    first.close()
    with monkeypatch.context() as other_user:
        other_user.setattr(Path, "stat", denied)
        with pytest.raises(CannotListen, match="Permission denied; choose another path"):
            listen(ServerOptions(unix_socket=tmp_path / "s"))


def test_address_in_use_is_refused_with_a_remedy() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(CannotListen, match=r"Address already in use.*--listen"),
    ):
        listen(ServerOptions(port=taken.getsockname()[1]))


def certificate(directory: Path, name: str, subject: str) -> tuple[Path, Path]:
    key, cert = directory / f"{name}.key", directory / f"{name}.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    command += f" -keyout {key} -out {cert} -subj /CN={subject} -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(command.split(), check=True, capture_output=True)
    return cert, key


def common_name(port: int, context: ssl.SSLContext) -> str:
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        client.sendall(b"GET /pid HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        if not (answer := client.recv(100)):
            raise ConnectionResetError
        assert answer.startswith(b"HTTP/1.1 200")
        certificate_of_server: Any = client.getpeercert()
        return str(dict(pair for (pair,) in certificate_of_server["subject"])["commonName"])


@pytest.mark.parametrize("workers", [1, 2])
def test_hangup_loads_a_new_certificate_and_keeps_the_old_one_if_the_new_is_broken(
    tmp_path: Path, workers: int
) -> None:
    one, two = certificate(tmp_path, "one", "one"), certificate(tmp_path, "two", "two")
    trust = ssl.create_default_context(cafile=str(one[0]))
    trust.load_verify_locations(two[0])
    cert, key = tmp_path / "cert", tmp_path / "key"
    cert.write_bytes(one[0].read_bytes())
    key.write_bytes(one[1].read_bytes())
    with started(tmp_path, workers=workers, tls={"certificate": cert, "key": key}) as server:
        assert server.address.startswith("https://")
        assert common_name(server.port, trust) == "one"

        cert.write_bytes(two[0].read_bytes())  # the key does not fit yet
        server.signal(signal.SIGHUP)
        until(lambda: "certificate in use is kept" in (tmp_path / "log").read_text())
        assert common_name(server.port, trust) == "one"

        key.write_bytes(two[1].read_bytes())
        server.signal(signal.SIGHUP)
        until(lambda: common_name(server.port, trust) == "two")


def test_over_tls_nothing_is_offered_that_would_bypass_it(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "server", "server")
    trust = ssl.create_default_context(cafile=str(cert))
    with (
        started(tmp_path, tls={"certificate": cert, "key": key}) as server,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        client.sendall(b"GET /extensions HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"content-length: 0\r\n" in client.recv(1000)


def test_thousands_of_pipelined_requests_over_tls_are_all_answered(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "server", "server")
    trust = ssl.create_default_context(cafile=str(cert))
    with (
        started(tmp_path, tls={"certificate": cert, "key": key}) as server,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        asked = b"GET /pid HTTP/1.1\r\nHost: a\r\n\r\n" * 5000
        client.sendall(asked + b"GET /pid HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answers = b""
        while more := client.recv(1 << 16):
            answers += more

        assert answers.count(b"HTTP/1.1 200 OK") == 5001


def test_client_without_a_certificate_of_the_authority_is_refused(tmp_path: Path) -> None:
    identity, client = certificate(tmp_path, "server", "server"), certificate(tmp_path, "client", "client")
    tls = {"certificate": identity[0], "key": identity[1], "client_ca": client[0]}
    trust = ssl.create_default_context(cafile=str(identity[0]))
    with started(tmp_path, tls=tls) as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            common_name(server.port, trust)
        trust.load_cert_chain(*client)
        assert common_name(server.port, trust) == "server"


def test_old_versions_of_tls_are_refused(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "server", "server")
    with started(tmp_path, tls={"certificate": cert, "key": key}) as server:
        old = ssl.create_default_context(cafile=str(cert))
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            common_name(server.port, old)


def test_key_that_does_not_fit_is_named_before_anything_starts(tmp_path: Path) -> None:
    one, two = certificate(tmp_path, "one", "one"), certificate(tmp_path, "two", "two")
    with pytest.raises(TLSUnusable, match=r"two\.key cannot be used: key values mismatch"):
        serve(ServerOptions(port=0, tls=TLS(one[0], two[1])), pytest.fail, pytest.fail)
