"""The registry that is attacked: its people, robots, rules, content, and every credential that somebody might hold.

Knows how to get credentials in the regular way, and our own signing key, as a test may; must not know the attacks.
"""

import base64
import http.client
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import jwt

from tests.guarded import AUTH, Guarded
from tests.images import OCI_MANIFEST, Image, random_image

PASSWORDS = {"alice": "correct horse", "bob": "battery staple", "carol": "velvet underground", "dora": "purple haze"}
SETTINGS = (
    AUTH
    + """
access:
  groups: {keepers: [carol]}
  rules:
    - {who: user:alice, repositories: ["team/**", "users/{user}/**"], actions: [pull, push]}
    - {who: user:alice, repositories: "team/closed", actions: [push], effect: deny}
    - {who: user:alice, repositories: "inbox/**", actions: [push]}
    - {who: user:bob, repositories: "bob/**", actions: [pull, push, delete]}
    - {who: group:keepers, repositories: ["secret/**", "team/**"], actions: [pull, push, delete]}
    - {who: anonymous, repositories: "public/**", actions: pull}
    - {who: user:carol, repositories: "public/**", actions: [pull, push, delete]}
    - {who: user:dora, repositories: "**", actions: [pull, push]}
  immutable_tags:
    - {repositories: "bob/**", tags: ["v*"]}
"""
)
VAULT, APP, OWN = random_image(1), random_image(2), random_image(3)


@dataclass(frozen=True)
class Reply:
    """An answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def codes(self) -> list[str]:
        """The error codes in the body."""
        try:
            document = json.loads(self.body)
        except ValueError:
            return []
        return [item["code"] for item in document.get("errors", [])] if isinstance(document, dict) else []


@dataclass
class World:
    """A running registry with everything in place."""

    closed: Guarded
    secrets: list[str] = field(default_factory=lambda: list(PASSWORDS.values()))
    bearers: list[str] = field(default_factory=list)
    filled: bool = True
    """False: nothing to steal is needed."""

    def __post_init__(self) -> None:
        """Push what is there to be stolen, and make what is there to be misused."""
        if self.filled:
            self._fill()

    def _fill(self) -> None:
        self.push("carol", "secret/vault", VAULT, "1")
        self.push("carol", "team/app", APP, "1")
        self.push("carol", "team/closed", APP, "1")
        self.push("carol", "public/base", APP, "1")
        self.push("bob", "bob/own", OWN, "v1")
        self.robot = self._keep(self.closed.robot("ci", "team/app:pull"))
        self.expired = self._keep(self.closed.robot("late", "**:*", expires="1s"))
        self.revoked = self._keep(self.closed.robot("gone", "**:*"))
        self.closed.cargohold("token", "revoke", "gone")
        create = ("token", "create", "--name", "phone", "--user", "alice", "--scope", "team/**:pull")
        self.personal = self._keep(self.closed.cargohold(*create).strip())
        self.refresh = self._keep(str(self.token_for("alice", offline=True)["refresh_token"]))
        time.sleep(1.1)  # the robot's token is over then

    def _keep(self, secret: str) -> str:
        self.secrets.append(secret)
        return secret

    def call(
        self,
        method: str,
        target: str,
        authorization: str | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request exactly as it is given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.closed.server.port, timeout=30)
        try:
            named = {name.lower() for name in headers or {}}
            connection.putrequest(method, target, skip_host="host" in named, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if authorization is not None:
                connection.putheader("Authorization", authorization.encode("utf-8", "surrogatepass"))
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            with connection.getresponse() as answer:
                fields = {name.lower(): value for name, value in answer.getheaders()}
                return Reply(answer.status, fields, answer.read())
        finally:
            connection.close()

    def push(self, who: str, repository: str, image: Image, tag: str) -> None:
        """Push an image in the regular way."""
        for content in (image.config, *image.layers):
            target = f"/v2/{repository}/blobs/uploads/?digest={content.digest}"
            assert self.call("POST", target, basic(who), content.data).status == 201
        manifest = image.manifest.data
        target, kind = f"/v2/{repository}/manifests/{tag}", {"Content-Type": OCI_MANIFEST}
        assert self.call("PUT", target, basic(who), manifest, kind).status == 201

    def token_for(self, who: str, *scopes: str, offline: bool = False) -> dict[str, Any]:
        """What the token service answers to somebody with a password."""
        query = urlencode([("scope", scope) for scope in scopes] + [("offline_token", str(offline).lower())])
        reply = self.call("GET", f"/auth/token?{query}", basic(who))
        assert reply.status == 200, reply.body
        found: dict[str, Any] = json.loads(reply.body)
        self.bearers.append(str(found["token"]))
        return found

    def bearer(self, who: str, *scopes: str) -> str:
        """An `Authorization` with a token for somebody."""
        return f"Bearer {self.token_for(who, *scopes)['token']}"

    @property
    def key(self) -> tuple[str, str]:
        """Our own signing key: id and PEM."""
        document = json.loads((self.closed.server.root / "cargohold/v1/auth/keys").read_text())
        return document["keys"][0]["id"], document["keys"][0]["private_pem"]

    def public_jwk(self) -> dict[str, str]:
        """Our own public key."""
        found: dict[str, str] = json.loads(self.call("GET", "/.well-known/jwks.json").body)["keys"][0]
        return found

    def claims(self, **changes: object) -> dict[str, Any]:
        """The claims of a token that opens the vault, as our own service would write them; None leaves one out."""
        real = jwt.decode(
            str(self.token_for("carol", "repository:secret/vault:pull,push")["token"]),
            options={"verify_signature": False},
        )
        return {
            name: value for name, value in {**real, "jti": uuid.uuid4().hex, **changes}.items() if value is not None
        }

    def mint(self, headers: Mapping[str, Any] | None = None, **changes: object) -> str:
        """A token signed with our own key, with other claims."""
        key_id, pem = self.key
        token = jwt.encode(self.claims(**changes), pem, "ES256", {"kid": key_id, **(headers or {})})
        self.bearers.append(token)
        return token


def basic(who: str, password: str | None = None) -> str:
    """An `Authorization` with a name and a password."""
    text = f"{who}:{PASSWORDS.get(who, '') if password is None else password}"
    return "Basic " + base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


Credential = Callable[[World], str | None]
