"""How a bucket is found, who we say that we are, and what goes with each new object: as an S3 server sees it."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from storage_backends.errors import Misconfigured
from storage_backends.s3_bucket import Bucket
from storage_backends.s3_options import Credentials, S3Options
from tests.programs import need

_OPTIONS = S3Options(bucket="images", credentials=Credentials("key", "secret"), attempts=1)
_CREATED = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
_ROLE = b"""\
<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>of-the-role</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>2199-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


class _Server(ThreadingHTTPServer):
    """Says yes to everything, and keeps the fields of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[dict[str, str]] = []
        self.answer = b""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("ETag", '"tag"')
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    do_POST = do_PUT

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({"endpoint": "https://s3.example.com:9000", "addressing": "path"}, "s3.example.com:9000/images/a/key"),
        ({"endpoint": "https://s3.example.com:9000", "addressing": "virtual"}, "images.s3.example.com:9000/a/key"),
        ({"endpoint": "https://e.example.com/", "addressing": "path"}, "e.example.com/images/a/key"),
        ({"region": "eu-central-1", "bucket": "a.b"}, "s3.eu-central-1.amazonaws.com/a.b/a/key"),
        ({"region": "eu-central-1"}, "images.s3.eu-central-1.amazonaws.com/a/key"),
        ({"region": "eu-central-1", "addressing": "path"}, "s3.eu-central-1.amazonaws.com/images/a/key"),
    ],
)
def test_a_bucket_is_a_host_or_a_path(changes: dict[str, str], address: str) -> None:
    bucket = Bucket(replace(_OPTIONS, prefix="a/", **changes))  # type: ignore[arg-type]
    found = urlsplit(bucket.presign("key"))
    assert (found.scheme, found.netloc + found.path) == ("https", address)


def test_new_objects_are_stored_and_encrypted_as_the_settings_say(server: _Server) -> None:
    arguments = {"StorageClass": "STANDARD_IA", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "of-ours"}
    endpoint = f"http://127.0.0.1:{server.server_port}"
    bucket = Bucket(replace(_OPTIONS, endpoint=endpoint, addressing="path", write_arguments=arguments))
    bucket.put("plain", b"x")
    bucket.put("conditional", b"x", IfNoneMatch="*")
    server.answer = _CREATED
    bucket.write("create_multipart_upload", "large")
    server.answer = b"<CopyObjectResult></CopyObjectResult>"
    bucket.write("copy_object", "copy", CopySource=bucket.source("plain"))

    assert len(server.seen) == 4
    for fields in server.seen:
        assert fields["x-amz-storage-class"] == "STANDARD_IA"
        assert fields["x-amz-server-side-encryption"] == "aws:kms"
        assert fields["x-amz-server-side-encryption-aws-kms-key-id"] == "of-ours"


def _certificate(directory: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, in one file."""
    path = directory / "both.pem"
    command = f"{need('openssl')} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    command += f" -keyout {path}.key -out {path} -subj /CN=s3 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.key").read_bytes())
    return path


def test_a_server_with_a_certificate_of_its_own_is_believed_by_its_authority_alone(
    server: _Server, tmp_path: Path
) -> None:
    file = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    options = replace(_OPTIONS, endpoint=f"https://127.0.0.1:{server.server_port}", addressing="path")

    with pytest.raises(Misconfigured, match=r"storage\.s3\.ca_file"):
        Bucket(options).put("k", b"x")
    assert Bucket(replace(options, ca_file=str(file))).put("k", b"x") == '"tag"'


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without any keys."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


def _signed_by(profile: str | None = None) -> str:
    bucket = Bucket(replace(_OPTIONS, region="eu-central-1", credentials=None, profile=profile))
    return parse_qs(urlsplit(bucket.presign("k")).query)["X-Amz-Credential"][0].partition("/")[0]


def test_keys_come_from_where_every_aws_program_finds_them(
    no_keys: Path, monkeypatch: pytest.MonkeyPatch, server: _Server
) -> None:
    (no_keys / "credentials").write_text("[team]\naws_access_key_id=of-a-profile\naws_secret_access_key=s\n")
    assert _signed_by("team") == "of-a-profile"

    (no_keys / "token").write_text("signed by the cluster")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(no_keys / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/cargohold")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{server.server_port}")
    server.answer = _ROLE
    assert _signed_by() == "of-the-role"

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert _signed_by() == "of-the-environment"


def test_keys_that_are_nowhere_are_missed_with_a_remedy(no_keys: Path) -> None:
    with pytest.raises(Misconfigured, match="for where keys are looked for"):
        _signed_by()
    with pytest.raises(Misconfigured, match=r"profile \(nobody\).*for where keys are looked for"):
        _signed_by("nobody")
