"""Settings from a file, the environment and flags, and how each mistake is named."""

import pickle
from pathlib import Path

import pytest
import yaml

from config.load import ConfigError, Flag, load
from config.settings import Settings


@pytest.fixture(autouse=True)
def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("CARGOHOLD_")]:
        monkeypatch.delenv(name)


def written(directory: Path, text: str) -> Path:
    file = directory / "cargohold.yml"
    file.write_text(text, "utf-8")
    return file


def mistakes(file: Path | None = None, *flags: Flag) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(file, flags)
    return [str(mistake) for mistake in refused.value.mistakes]


class TestSources:
    def test_without_any_source_the_defaults_are_in_force(self) -> None:
        assert load() == Settings()

    def test_the_environment_overrides_the_file_and_flags_override_both(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = written(tmp_path, "server: {workers: 2, max_uploads: 2, upload_threads: 2}")
        monkeypatch.setenv("CARGOHOLD_SERVER__MAX_UPLOADS", "3")
        monkeypatch.setenv("CARGOHOLD_SERVER__UPLOAD_THREADS", "3")

        server = load(file, [Flag("--x", ("server", "upload_threads"), 4)]).server

        assert (server.workers, server.max_uploads, server.upload_threads) == (2, 3, 4)

    def test_a_later_source_may_say_the_default_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = written(tmp_path, "registry: {check_references: false}")
        monkeypatch.setenv("CARGOHOLD_REGISTRY__CHECK_REFERENCES", "true")

        assert load(file).registry.check_references

    def test_variables_are_text_that_is_read_as_the_setting_needs_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CARGOHOLD_REGISTRY__ALLOW_DELETE", "false")
        monkeypatch.setenv("CARGOHOLD_REGISTRY__MAX_BLOB_BYTES", "20GiB")
        monkeypatch.setenv("CARGOHOLD_SERVER__DRAIN_TIMEOUT_SECONDS", "5m")
        monkeypatch.setenv("CARGOHOLD_SERVER__UNIX_SOCKET_MODE", "0600")
        monkeypatch.setenv("CARGOHOLD_SERVER__TLS__CERTIFICATE", "/c.pem")
        monkeypatch.setenv("CARGOHOLD_SERVER__TLS__KEY", "/k.pem")
        monkeypatch.setenv("CARGOHOLD_HTTP__TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")

        settings = load()

        assert settings.registry.allow_delete is False
        assert settings.registry.max_blob_bytes == 20 << 30
        assert settings.server.drain_timeout_seconds == 300
        assert settings.server.unix_socket_mode == 0o600
        assert settings.server.tls.certificate == Path("/c.pem")
        assert settings.http.trusted_proxies == ("127.0.0.1", "10.0.0.0/8")

    def test_an_empty_variable_is_not_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CARGOHOLD_SERVER__LISTEN", "")

        assert load() == Settings()

    def test_variables_that_kubernetes_makes_for_a_service_of_our_name_are_not_ours(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CARGOHOLD_SERVICE_HOST", "10.0.0.1")
        monkeypatch.setenv("CARGOHOLD_PORT_5000_TCP_ADDR", "10.0.0.1")

        assert load() == Settings()

    def test_a_file_with_all_lines_commented_out_is_the_defaults(self, tmp_path: Path) -> None:
        assert load(written(tmp_path, "# nothing\n")) == Settings()
        assert load(written(tmp_path, "server:\n  # workers: 4\n  tls:\nstorage:\n")) == Settings()

    def test_settings_travel_to_workers_and_back_from_yaml_unchanged(self, tmp_path: Path) -> None:
        settings = load(
            written(
                tmp_path, "server: {unix_socket_mode: '0600', keep_alive_seconds: 5m}\nhttp: {trusted_proxies: ['::1']}"
            )
        )

        assert pickle.loads(pickle.dumps(settings)) == settings
        assert load(written(tmp_path, yaml.safe_dump(settings.model_dump(mode="json")))) == settings


class TestMistakesInAFile:
    def test_an_unknown_setting_is_named_with_its_place_and_the_nearest_known_one(self, tmp_path: Path) -> None:
        file = written(tmp_path, "server:\n  lisen: 127.0.0.1:1\n")

        assert mistakes(file) == [f"{file}:2:3: server.lisen: there is no such setting. Did you mean server.listen?"]

    def test_a_setting_in_the_wrong_section_is_sent_to_the_right_one(self, tmp_path: Path) -> None:
        file = written(tmp_path, "workers: 4\nhttp:\n  tls: {}\n")

        assert mistakes(file) == [
            f"{file}:1:1: workers: there is no such setting. Did you mean server.workers?",
            f"{file}:3:3: http.tls: there is no such setting. Did you mean server.tls?",
        ]

    def test_a_name_like_no_other_gets_no_guess(self, tmp_path: Path) -> None:
        file = written(tmp_path, "zzz: 1\n")

        assert mistakes(file) == [f"{file}:1:1: zzz: there is no such setting"]

    @pytest.mark.parametrize(
        ("text", "place", "reason"),
        [
            ("server:\n  workers: '4'", "2:12", "server.workers: should be a valid integer (found '4')"),
            ("server:\n  workers: true", "2:12", "server.workers: should be a valid integer (found True)"),
            ("server:\n  workers: 0", "2:12", "server.workers: should be greater than or equal to 1 (found 0)"),
            (
                "registry:\n  allow_delete: 'yes'",
                "2:17",
                "registry.allow_delete: should be a valid boolean (found 'yes')",
            ),
            ("storage: 5", "1:10", "storage: is a section, its settings stand indented below it"),
            ("log:\n  format: xml", "2:11", "log.format: should be 'auto', 'text' or 'json' (found 'xml')"),
            (
                "server:\n  unix_socket_mode: 0660",
                "2:21",
                "server.unix_socket_mode: write the rights of a file as three",
            ),
            (
                "http:\n  trusted_proxies:\n    - ::1\n    - moon",
                "4:7",
                "http.trusted_proxies.1: write an address or a",
            ),
            ("http:\n  external_url: registry.lan", "2:17", "http.external_url: write http:// or https://"),
            (
                "server:\n  keep_alive_seconds: 0",
                "2:23",
                "server.keep_alive_seconds: should be greater than 0 (found 0)",
            ),
        ],
    )
    def test_a_wrong_value_is_named_with_its_line_and_column(
        self, tmp_path: Path, text: str, place: str, reason: str
    ) -> None:
        file = written(tmp_path, text)

        [mistake] = mistakes(file)

        assert mistake.startswith(f"{file}:{place}: {reason}")

    def test_all_mistakes_are_named_in_the_order_of_the_file(self, tmp_path: Path) -> None:
        file = written(tmp_path, "log:\n  level: loud\nserver:\n  lisen: 1\n  workers: many\nstorag: {}\n")

        assert [mistake.split(":")[1] for mistake in mistakes(file)] == ["2", "4", "5", "6"]

    @pytest.mark.parametrize(
        ("text", "place", "reason"),
        [
            ("server:\n  workers: 1\n  workers: 2", "3:3", "'workers' is given twice in this section"),
            ("server: &s {workers: 1}\nlog: *s", "1:9", "aliases are not allowed here"),
            ("a: &a [*a]", "1:4", "aliases are not allowed here"),
            ("server: {workers: 1", "1:20", "this is not YAML: expected ',' or '}'"),
            ("server:\n\tworkers: 1", "2:1", "this is not YAML: found character '\\t'"),
            ("? [a, b]\n: c", "1:3", "a name must be plain text"),
            ("a: 2020-13-45", "1:4", "this value cannot be read"),
            ("a: !!python/name:os.system x", "1:4", "this is not YAML"),
            ("a: 1\n---\nb: 2", "2:1", "this is not YAML: but found another document"),
            ("- server", "1:1", "a settings file holds sections"),
            ("\x00", "1:1", "this is not YAML"),
        ],
    )
    def test_what_is_no_settings_file_is_refused_with_its_place(
        self, tmp_path: Path, text: str, place: str, reason: str
    ) -> None:
        file = written(tmp_path, text)

        [mistake] = mistakes(file)

        assert mistake.startswith(f"{file}:{place}: {reason}")

    def test_a_file_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "absent.yml"

        assert mistakes(file) == [f"{file}: cannot be read: No such file or directory"]

    def test_a_file_that_is_not_text_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "binary.yml"
        file.write_bytes(b"\xff\xfe\xff")

        assert mistakes(file) == [f"{file}: is not UTF-8 text"]


class TestMistakesElsewhere:
    def test_an_unknown_variable_is_named_with_the_nearest_known_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CARGOHOLD_SERVER__LISTN", "127.0.0.1:1")
        monkeypatch.setenv("CARGOHOLD_XYZ__A", "1")

        assert mistakes() == [
            "CARGOHOLD_SERVER__LISTN: there is no such setting. Did you mean CARGOHOLD_SERVER__LISTEN?",
            "CARGOHOLD_XYZ__A: there is no such setting",
        ]

    def test_a_variable_that_lacks_an_underscore_is_not_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CARGOHOLD_STORAGE_ROOT", "/data")

        assert mistakes() == [
            "CARGOHOLD_STORAGE_ROOT: two underscores stand between section and name: CARGOHOLD_STORAGE__ROOT"
        ]

    def test_a_wrong_value_in_a_variable_is_named_by_the_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CARGOHOLD_SERVER__WORKERS", "many")

        [mistake] = mistakes()

        assert mistake.startswith("CARGOHOLD_SERVER__WORKERS: server.workers: should be a valid integer")

    def test_a_wrong_value_of_a_flag_is_named_by_the_flag(self) -> None:
        [mistake] = mistakes(None, Flag("--listen", ("server", "listen"), "5000"))

        assert mistake.startswith("--listen: server.listen: write HOST:PORT")

    @pytest.mark.parametrize(("name", "kind"), [("auth.users", "a list"), ("access.groups", "a section")])
    def test_what_has_many_entries_is_said_to_belong_into_a_file(
        self, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name_of_variable = "CARGOHOLD_" + name.upper().replace(".", "__")
        monkeypatch.setenv(name_of_variable, "alice")

        [mistake] = mistakes()

        assert mistake.startswith(f"{name_of_variable}: {name}: is {kind}, `")
        assert mistake.endswith("a line for each entry, which only a settings file can hold")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("auth: {ldap: {bind_password: 4711081500}}", "auth.ldap.bind_password: should be a valid string"),
        ("storage: {s3: {secret_access_key: 4711081500}}", "storage.s3.secret_access_key: should be a valid string"),
        ("auth: {ldap: {bind_password: [4711081500]}}", "auth.ldap.bind_password: should be a valid string"),
        ("auth: {users: [{name: a, password_hash: 4711081500}]}", "auth.users.0.password_hash: should be a valid"),
        ("auth: {users: [{password_hash: '4711081500'}]}", "auth.users.0.name: Field required"),
        ("auth: {users: 'a:4711081500'}", "auth.users: is a list, `- …` a line for each entry"),
        ("upstreams: {name: a, password: '4711081500'}", "upstreams: is a list, `- …` a line for each entry"),
        ("upstreams: [{name: a, url: a, password: 4711081500}]", "upstreams.0.password: should be a valid string"),
        ("auth: {ldap: {bind_password: *4711081500}}", "this is not YAML: found undefined alias; put a value"),
        (
            "auth:\n  ldap:\n    bind_password: !4711081500",
            "this is not YAML: could not determine a constructor for the tag;",
        ),
    ],
)
def test_a_mistake_tells_no_secret(tmp_path: Path, text: str, says: str) -> None:
    [found] = mistakes(written(tmp_path, text))

    assert says in found
    assert "47110" not in found


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5000 + "}" * 5000])
def test_a_file_that_goes_too_deep_is_a_mistake(tmp_path: Path, text: str) -> None:
    [found] = mistakes(written(tmp_path, f"server: {{}}\nlog: {text}\n"))

    assert "cargohold.yml:2:1: this goes too deep" in found
