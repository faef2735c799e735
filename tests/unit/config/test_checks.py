"""What settings have to fit together."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from config.access import AccessSettings
from config.auth import AuthSettings, IdentitySettings, IssuerSettings
from config.checks import missing_files, problems
from config.load import ConfigError, Flag, load
from config.settings import LogSettings, RegistrySettings, ServerSettings, Settings, TlsSettings
from config.storage import S3Settings, StorageSettings
from config.upstreams import UpstreamSettings

OPEN = "0.0.0.0:5000"
TLS = TlsSettings(certificate=Path("c.pem"), key=Path("k.pem"))


def messages(settings: Settings) -> list[str]:
    return [f"{'.'.join(map(str, problem.path))}: {problem.message}" for problem in problems(settings)]


@pytest.mark.parametrize("listen", ["0.0.0.0:5000", "[::]:5000", "10.0.0.5:5000", "registry.lan:5000"])
def test_an_address_that_others_can_reach_is_refused_without_authentication_with_every_remedy(listen: str) -> None:
    [message] = messages(Settings(server=ServerSettings(listen=listen)))

    assert message.startswith(f"server.listen: {listen} can be reached from other machines")
    for remedy in ("127.0.0.1", "Unix socket", "server.tls.client_ca", "--allow-anonymous-writes"):
        assert remedy in message
    assert "CARGOHOLD_ACCESS__ALLOW_ANONYMOUS_WRITES=true" in message


@pytest.mark.parametrize("listen", ["127.0.0.1:5000", "localhost:5000", "[::1]:5000", "unix:/run/cargohold.sock"])
def test_an_address_of_this_machine_needs_no_authentication(listen: str) -> None:
    assert messages(Settings(server=ServerSettings(listen=listen))) == []


def test_encryption_alone_is_no_authentication() -> None:
    assert len(messages(Settings(server=ServerSettings(listen=OPEN, tls=TLS)))) == 1


def test_client_certificates_are_authentication() -> None:
    tls = TLS.model_copy(update={"client_ca": Path("ca.pem")})

    assert messages(Settings(server=ServerSettings(listen=OPEN, tls=tls))) == []


def test_the_words_open_the_server() -> None:
    settings = Settings(server=ServerSettings(listen=OPEN), access=AccessSettings(allow_anonymous_writes=True))

    assert messages(settings) == []


@pytest.mark.parametrize(
    ("tls", "message"),
    [
        (TlsSettings(certificate=Path("c.pem")), "server.tls.certificate: needs its private key"),
        (TlsSettings(key=Path("k.pem")), "server.tls.key: needs its certificate"),
        (TlsSettings(client_ca=Path("ca.pem")), "server.tls.client_ca: asks for client certificates"),
    ],
)
def test_half_of_a_tls_setup_is_refused(tls: TlsSettings, message: str) -> None:
    [found] = messages(Settings(server=ServerSettings(tls=tls)))

    assert found.startswith(message)


def test_a_page_is_no_larger_than_the_largest_page() -> None:
    [message] = messages(Settings(registry=RegistrySettings(catalog_page_size=20, max_page_size=10)))

    assert message.startswith("registry.catalog_page_size: is larger than registry.max_page_size (10)")


def test_a_problem_is_reported_where_the_value_that_counts_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cargohold.yml"
    file.write_text("server:\n  listen: 0.0.0.0:1\n")

    with pytest.raises(ConfigError, match=rf"^{file}:2:11: server\.listen: 0\.0\.0\.0:1 can be reached"):
        load(file, environment=False)
    with pytest.raises(ConfigError, match=r"^--listen: server\.listen: 0\.0\.0\.0:2 can be reached"):
        load(file, [Flag("--listen", ("server", "listen"), "0.0.0.0:2")], environment=False)
    monkeypatch.setenv("CARGOHOLD_SERVER__LISTEN", "0.0.0.0:3")
    with pytest.raises(ConfigError, match=r"^CARGOHOLD_SERVER__LISTEN: server\.listen: 0\.0\.0\.0:3 can be reached"):
        load(file)


def test_who_only_reads_the_data_may_use_settings_that_no_server_could() -> None:
    flag = Flag("--listen", ("server", "listen"), OPEN)

    assert load(flags=[flag], environment=False, fitting=False).server.listen == OPEN


def test_tls_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    certificate = tmp_path / "c.pem"
    certificate.touch()
    tls = TlsSettings(certificate=certificate, key=tmp_path / "k.pem")

    [problem] = missing_files(Settings(server=ServerSettings(tls=tls)))

    assert problem.path == ("server", "tls", "key")
    assert problem.message == f"{tmp_path / 'k.pem'} is not there"


@pytest.mark.parametrize(
    ("audit", "says"),
    [
        ("auto", []),
        ("off", []),
        ("/dev/null", []),
        ("new.jsonl", []),
        (".", ["is a directory"]),
        ("none/a.jsonl", ["cannot be made, for none is not there"]),
        ("/proc/1/a.jsonl/b", ["cannot be made, for /proc/1/a.jsonl is not there"]),
    ],
)
def test_an_audit_log_that_cannot_be_written_is_named(
    audit: str, says: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    found = [problem.message for problem in missing_files(Settings(log=LogSettings(audit=audit)))]

    assert found == [f"{audit} {reason}: name another file, stdout, or off" for reason in says]


@pytest.mark.parametrize("place", ["", "there.jsonl"])
def test_an_audit_log_that_another_user_has_is_named(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there.jsonl").touch()
    monkeypatch.setattr("config.checks.os.access", lambda path, mode: False)  # as for anybody but root
    log = tmp_path / (place or "new.jsonl")

    [problem] = missing_files(Settings(log=LogSettings(audit=str(log))))

    assert problem.message.startswith(f"{log} cannot be {'written' if place else 'made'} by this user")


def test_files_in_a_directory_into_which_this_user_may_not_look_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Debian's /etc/ssl/private is for all but root."""

    def denied(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    settings = Settings(server=ServerSettings(tls=TLS), log=LogSettings(audit=str(tmp_path / "private/a.jsonl")))
    monkeypatch.setattr("config.checks.os.access", lambda path, mode: False)
    monkeypatch.setattr(Path, "stat", denied)

    found = [problem.message for problem in missing_files(settings)]

    assert found[:2] == ["c.pem cannot be read by this user", "k.pem cannot be read by this user"]
    assert "a.jsonl cannot be written by this user" in found[2]


def test_an_issuer_that_is_there_twice_is_named() -> None:
    identity = IdentitySettings(when={"sub": ("ci",)}, name="ci", scope=("ci/*:pull",))
    issuers = tuple(
        IssuerSettings(name=name, issuer="https://gitlab.example.com", audiences=("registry",), identities=(identity,))
        for name in ("one", "two")
    )

    [message] = messages(Settings(auth=AuthSettings(issuers=issuers)))

    assert message == "auth.issuers.1.issuer: is there already: give that entry these identities, too"


@pytest.mark.parametrize(
    ("s3", "message"),
    [
        (S3Settings(region="eu-central-1"), "storage.s3.bucket: is not set"),
        (S3Settings(bucket="b", access_key_id="key"), "storage.s3.access_key_id: and its secret"),
        (S3Settings(bucket="b", secret_access_key=SecretStr("x")), "storage.s3.access_key_id: and its secret"),
        (
            S3Settings(
                bucket="b", access_key_id="k", secret_access_key=SecretStr("x"), secret_access_key_file=Path("f")
            ),
            "storage.s3.secret_access_key: is given, and secret_access_key_file, too",
        ),
        (
            S3Settings(bucket="b", access_key_id="k", secret_access_key=SecretStr("x"), profile="p"),
            "storage.s3.profile: is given, and access_key_id, too",
        ),
        (S3Settings(bucket="b", kms_key_id="k"), "storage.s3.kms_key_id: is used with"),
        (S3Settings(bucket="b", single_writer=True), "storage.s3.single_writer: means one process"),
    ],
)
def test_what_is_said_of_a_bucket_fits_together(s3: S3Settings, message: str) -> None:
    [found] = messages(Settings(storage=StorageSettings(s3=s3), server=ServerSettings(workers=2)))
    assert found.startswith(message)


def test_a_bucket_needs_no_more_than_its_name() -> None:
    assert messages(Settings(storage=StorageSettings(s3=S3Settings(bucket="b")))) == []


def test_an_upstream_has_one_login_and_a_name_of_its_own() -> None:
    found = messages(
        Settings(
            upstreams=(
                UpstreamSettings(name="hub", url="docker.io", username="a", password=SecretStr("b")),
                UpstreamSettings(name="hub", url="docker.io", password_file=Path("/x"), credential_command=("c",)),
                UpstreamSettings(name="lan", url="registry.lan", username="a"),
            )
        )
    )

    assert [message.partition(":")[0] for message in found] == [
        "upstreams.1.name", "upstreams.1.username", "upstreams.1.name", "upstreams.2.username"
    ]  # fmt: skip
