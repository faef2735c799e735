"""Settings of storage: a directory, or a bucket, and how a bucket is reached."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from config.fields import ByteCount, FilePath, LongSeconds, Networks, Seconds, Section, Url

_MIB = 1024 * 1024


def _prefix(text: str) -> str:
    if text.startswith("/") or "//" in text or any(part in (".", "..") for part in text.split("/")):
        raise ValueError("write it as names with single slashes between them: registries/main")
    return text.rstrip("/")


class RedirectSettings(Section):
    """Whether clients fetch blobs from the bucket themselves."""

    mode: Literal["never", "always"] = "never"
    networks: Networks = ()
    min_bytes: ByteCount = 0
    endpoint: Url = ""
    lifetime_seconds: Annotated[LongSeconds, Field(ge=60, le=7 * 86400)] = 20 * 60


class S3Settings(Section):
    """A bucket. Used if `bucket` is set."""

    bucket: str = ""
    prefix: Annotated[str, AfterValidator(_prefix)] = ""
    region: str = ""
    endpoint: Url = ""
    addressing: Literal["auto", "path", "virtual"] = "auto"
    ca_file: FilePath | None = None
    access_key_id: str = ""
    secret_access_key: SecretStr = SecretStr("")
    secret_access_key_file: FilePath | None = None
    profile: str = ""
    storage_class: str = ""
    encryption: Literal["none", "AES256", "aws:kms"] = "none"
    kms_key_id: str = ""
    checksums: Literal["when_supported", "when_required"] = "when_supported"
    part_bytes: Annotated[ByteCount, Field(ge=5 * _MIB, le=1024 * _MIB)] = 8 * _MIB
    parts_in_flight: Annotated[int, Field(ge=1, le=256)] = 6
    concurrency: Annotated[int, Field(ge=1, le=512)] = 32
    attempts: Annotated[int, Field(ge=1, le=20)] = 5
    connect_timeout_seconds: Seconds = 5
    read_timeout_seconds: Seconds = 30
    single_writer: bool = False
    conditional_delete: bool = True
    redirect: RedirectSettings = RedirectSettings()


class StorageSettings(Section):
    """Where the data lies."""

    root: FilePath = Path("data")
    upload_lifetime_seconds: LongSeconds = 7 * 86400
    s3: S3Settings = S3Settings()
