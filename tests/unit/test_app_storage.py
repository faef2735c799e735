"""The settings of storage become the options of a backend."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import Settings
from config.storage import RedirectSettings, S3Settings, StorageSettings
from registry.app_storage import build_backend, check_storage, place_of, s3_options
from storage_backends.errors import Misconfigured
from storage_backends.filesystem import FilesystemBackend
from storage_backends.s3_options import Credentials, S3Options


def test_without_a_bucket_it_is_a_directory(tmp_path: Path) -> None:
    settings = Settings(storage=StorageSettings(root=tmp_path))
    check_storage(settings)
    assert isinstance(build_backend(settings), FilesystemBackend)
    assert place_of(settings) == str(tmp_path)


def test_the_defaults_of_settings_and_of_the_backend_are_the_same() -> None:
    assert s3_options(S3Settings(bucket="b")) == S3Options(bucket="b")


def test_every_setting_of_a_bucket_arrives(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden\n")
    options = s3_options(
        S3Settings(
            bucket="b",
            prefix="a/part",
            access_key_id="key",
            secret_access_key_file=tmp_path / "secret",
            storage_class="STANDARD_IA",
            encryption="aws:kms",
            kms_key_id="k",
            redirect=RedirectSettings(endpoint="https://cdn.example.com", lifetime_seconds=90),
        )
    )
    assert options.prefix == "a/part/"
    assert options.credentials == Credentials("key", "hidden")
    assert "hidden" not in repr(options)
    assert options.write_arguments == {
        "StorageClass": "STANDARD_IA",
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "k",
    }
    assert (options.public_endpoint, options.link_lifetime) == ("https://cdn.example.com", 90)


def test_a_secret_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="No such file"):
        s3_options(S3Settings(bucket="b", access_key_id="key", secret_access_key_file=tmp_path / "none"))


def test_where_a_bucket_is_is_said_without_its_secrets() -> None:
    s3 = S3Settings(
        bucket="b", prefix="p", endpoint="http://s3:9000", access_key_id="key", secret_access_key=SecretStr("hidden")
    )
    assert place_of(Settings(storage=StorageSettings(s3=s3))) == "s3://b/p at http://s3:9000"
