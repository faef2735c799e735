"""An issuer of identity tokens that tests run: a discovery document, a JWK set, and every token, honest or forged.

Answers on a free port of the loopback, counts what it is asked, and fails or hangs when it is told to. Must not know
what trusts it.
"""

import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/keys"
AUDIENCE = "registry.example.com"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class IssuerKey:
    """A key that signs; `id` is its `kid`."""

    private: PrivateKey
    algorithm: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def make(cls, algorithm: str = "RS256") -> "IssuerKey":
        """A new key for `RS256`, `ES256`, `ES384` or `EdDSA`."""
        match algorithm:
            case "RS256":
                return cls(rsa.generate_private_key(65537, 2048), algorithm)
            case "EdDSA":
                return cls(ed25519.Ed25519PrivateKey.generate(), algorithm)
            case _:
                return cls(
                    ec.generate_private_key({"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}[algorithm]), algorithm
                )

    def public(self, **changes: object) -> dict[str, Any]:
        """Its entry in the JWK set; `None` takes a member away."""
        made: dict[str, Any] = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key(), as_dict=True)
        entry = {**made, "kid": self.id, "use": "sig", "alg": self.algorithm, **changes}
        return {name: value for name, value in entry.items() if value is not None}

    def secret(self) -> str:
        """The secret part of an elliptic curve's key, as a JWK set must never hold it."""
        found: dict[str, str] = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private, as_dict=True)
        return found["d"]

    def sign(self, text: bytes) -> bytes:
        """The signature of a text."""
        signature: bytes = jwt.get_algorithm_by_name(self.algorithm).sign(text, self.private)
        return signature

    def pem(self) -> bytes:
        """The public key as it is often published, which is what an HMAC would be keyed with in a confusion of both."""
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Answer:
    """What the issuer answers instead of the document of a path; with `pause`, one byte in so many seconds."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0


class OidcIssuer:
    """A running issuer. `published` is its JWK set, `requests` counts by path, `answers` replaces documents by path.

    While `broken` it answers 503. With a certificate it speaks TLS.
    """

    def __init__(self, algorithm: str = "RS256", certificate: Path | None = None) -> None:
        self.key = IssuerKey.make(algorithm)
        self.published: list[dict[str, Any]] = [self.key.public()]
        self.requests: Counter[str] = Counter()
        self.authorizations: list[str | None] = []
        self.answers: dict[str, Answer] = {}
        self.broken = False
        self._going = threading.Event()
        self._going.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # the handshake belongs to the connection's own thread: who breaks it off must not disturb who accepts
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="oidc-issuer")
        self._thread.start()

    def close(self) -> None:
        """Let go of all that hangs, and stop."""
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def rotate(self, *, keep: bool = False) -> IssuerKey:
        """Sign with a new key from now on; the old one is published no more unless it is to be kept."""
        old, self.key = self.key, IssuerKey.make(self.key.algorithm)
        self.published = [*(self.published if keep else ()), self.key.public()]
        return old

    def hold(self) -> None:
        """Answer nobody until `release`."""
        self._going.clear()

    def release(self) -> None:
        """Answer again, those first who wait."""
        self._going.set()

    def claims(self, **changes: object) -> dict[str, Any]:
        """What every token says, with changes; `None` takes a claim away."""
        now = int(time.time())
        found = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "somebody",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": uuid.uuid4().hex,
            **changes,
        }
        return {name: value for name, value in found.items() if value is not None}

    def mint(
        self,
        claims: Mapping[str, object] | None = None,
        *,
        key: IssuerKey | None = None,
        headers: Mapping[str, object] | None = None,
    ) -> str:
        """A token with these claims over the usual ones; headers replace the usual ones, `None` takes one away."""
        signer = key or self.key
        return forge(
            {"alg": signer.algorithm, "kid": signer.id, "typ": "JWT", **(headers or {})},
            self.claims(**(claims or {})),
            signer.sign,
        )

    def document(self, path: str) -> Answer:
        """What is answered on a path; counts it."""
        self.requests[path] += 1
        self._going.wait()
        if self.broken:
            return Answer(b"out of order", 503)
        documents: dict[str, object] = {
            DISCOVERY: {"issuer": self.url, "jwks_uri": self.url + JWKS},
            JWKS: {"keys": self.published},
        }
        if path in self.answers:
            return self.answers[path]
        return Answer(json.dumps(documents[path]).encode()) if path in documents else Answer(b"", 404)


@contextmanager
def oidc_issuer(algorithm: str = "RS256", certificate: Path | None = None) -> Iterator[OidcIssuer]:
    """A running issuer."""
    issuer = OidcIssuer(algorithm, certificate)
    try:
        yield issuer
    finally:
        issuer.close()


def write_certificate(file: Path) -> Path:
    """Write a key and a certificate of its own for 127.0.0.1 into a file, which is then also the authority to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + made.public_bytes(Encoding.PEM))
    return file


def forge(header: Mapping[str, object], claims: Mapping[str, object] | bytes, sign: Callable[[bytes], bytes]) -> str:
    """A token as no library would make it; a header of `None` is left out."""
    kept = {name: value for name, value in header.items() if value is not None}
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{_base64(json.dumps(kept).encode())}.{_base64(payload)}"
    return f"{signed}.{_base64(sign(signed.encode()))}"


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    """Sign with a secret, whatever it is."""
    return lambda text: hmac.new(secret, text, hashlib.sha256).digest()


def unsigned(_: bytes) -> bytes:
    """Sign not at all."""
    return b""


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _handler(issuer: OidcIssuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle(self) -> None:
            with suppress(ssl.SSLError, ConnectionError):  # a client that does not trust our certificate hangs up
                super().handle()

        def do_GET(self) -> None:
            issuer.authorizations.append(self.headers.get("authorization"))
            answer = issuer.document(self.path)
            with suppress(OSError):  # who asked may have lost patience
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if answer.pause:
                    for byte in answer.body:
                        self.wfile.write(bytes([byte]))
                        time.sleep(answer.pause)
                else:
                    self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing: the tests look at the counters."""

    return Handler
