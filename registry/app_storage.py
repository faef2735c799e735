"""Storage as the settings name it: which backend, and what it is told. Part of the composition root."""

from pathlib import Path

from config.settings import Settings
from config.storage import S3Settings
from registry.content import keyspace
from storage_backends.base import StorageBackend
from storage_backends.errors import Misconfigured
from storage_backends.filesystem import FilesystemBackend
from storage_backends.s3_options import Credentials, PartSizes, S3Options


def build_backend(settings: Settings) -> StorageBackend:
    """The storage that the settings name. Raises `StorageError` if it cannot be used."""
    if not settings.storage.s3.bucket:
        return FilesystemBackend(settings.storage.root, scratch=keyspace.SCRATCH, private=keyspace.AUTH)
    from storage_backends.s3 import S3Backend  # noqa: PLC0415  # boto3 takes a third of a second to load

    own = (keyspace.DISTRIBUTION, keyspace.OWN)
    return S3Backend(s3_options(settings.storage.s3), scratch=keyspace.SCRATCH, own=own)


def check_storage(settings: Settings) -> None:
    """Find out whether the storage does what a server relies on. Raises `StorageError` with what to do."""
    if not settings.storage.s3.bucket:
        build_backend(settings)
        return
    from storage_backends.s3_bucket import Bucket  # noqa: PLC0415  # boto3, see above
    from storage_backends.s3_probe import probe  # noqa: PLC0415

    probe(Bucket(s3_options(settings.storage.s3)), keyspace.SCRATCH)


def place_of(settings: Settings) -> str:
    """Where the data lies, for people."""
    s3 = settings.storage.s3
    if not s3.bucket:
        return str(settings.storage.root.absolute())
    return f"s3://{s3.bucket}/{s3.prefix}".rstrip("/") + (f" at {s3.endpoint}" if s3.endpoint else "")


def s3_options(s3: S3Settings) -> S3Options:
    """The settings of a bucket as the backend wants them. Raises `Misconfigured` if a secret cannot be read."""
    return S3Options(
        bucket=s3.bucket,
        prefix=f"{s3.prefix}/" if s3.prefix else "",
        region=s3.region or None,
        endpoint=s3.endpoint or None,
        public_endpoint=s3.redirect.endpoint or None,
        addressing=s3.addressing,
        ca_file=str(s3.ca_file) if s3.ca_file else None,
        credentials=_credentials(s3),
        profile=s3.profile or None,
        write_arguments=_write_arguments(s3),
        checksums=s3.checksums,
        concurrency=s3.concurrency,
        attempts=s3.attempts,
        connect_timeout=s3.connect_timeout_seconds,
        read_timeout=s3.read_timeout_seconds,
        link_lifetime=int(s3.redirect.lifetime_seconds),
        single_writer=s3.single_writer,
        conditional_delete=s3.conditional_delete,
        sizes=PartSizes(part=s3.part_bytes, in_flight=s3.parts_in_flight),
    )


def _credentials(s3: S3Settings) -> Credentials | None:
    if not s3.access_key_id:
        return None
    secret = s3.secret_access_key.get_secret_value()
    return Credentials(s3.access_key_id, _read(s3.secret_access_key_file) if s3.secret_access_key_file else secret)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise Misconfigured(f"the secret key cannot be read from {path}: {error.strerror}") from error


def _write_arguments(s3: S3Settings) -> dict[str, str]:
    chosen = {
        "StorageClass": s3.storage_class,
        "ServerSideEncryption": "" if s3.encryption == "none" else s3.encryption,
        "SSEKMSKeyId": s3.kms_key_id,
    }
    return {name: value for name, value in chosen.items() if value}
