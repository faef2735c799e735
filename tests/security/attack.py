"""One row of the table of attacks, and the words that rows are made of: credentials and checks.

Must not know any attack.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import jwt

from tests.images import OCI_MANIFEST
from tests.security.world import VAULT, Credential, Reply, World, basic

Check = Callable[[World, Reply], bool]
VAULT_MANIFEST = "/v2/secret/vault/manifests/1"
VAULT_BLOB = VAULT.layers[0].digest
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Attack:
    """One row; `codes` are those of the error body. `check` looks at what a status cannot say."""

    name: str
    method: str
    target: str
    credential: Credential
    status: int
    codes: tuple[str, ...] = ()
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    check: Check = lambda _world, _reply: True


def nobody(_: World) -> None:
    """No credential at all."""


def with_password(who: str, password: str | None = None) -> Credential:
    return lambda _: basic(who, password)


def with_token(who: str, *scopes: str) -> Credential:
    return lambda world: world.bearer(who, *scopes)


def sent(value: str) -> Credential:
    return lambda _: value


ALICE, BOB = with_password("alice"), with_password("bob")
ROBOT: Credential = lambda world: basic("ci", world.robot)  # noqa: E731  # a row's credential, as the others
PERSONAL: Credential = lambda world: basic("alice", world.personal)  # noqa: E731


def challenges(*parts: str) -> Check:
    return lambda _, reply: all(part in reply.headers.get("www-authenticate", "") for part in parts)


def hides(*words: str) -> Check:
    return lambda _, reply: not any(word.encode() in reply.body or word in str(reply.headers) for word in words)


def grants(*allowed: str) -> Check:
    """The token that came back grants this and nothing else: `repository:a:pull`."""

    def check(_: World, reply: Reply) -> bool:
        claims = jwt.decode(json.loads(reply.body)["token"], options={"verify_signature": False})
        found = {f"{entry['type']}:{entry['name']}:{','.join(entry['actions'])}" for entry in claims["access"]}
        return found == set(allowed)

    return check


def still_there(repository: str, reference: str) -> Check:
    return lambda world, _: (
        world.call(
            "HEAD", f"/v2/{repository}/manifests/{reference}", basic("carol" if repository[0] != "b" else "bob")
        ).status
        == 200
    )


def manifest_naming(digest: str, size: int) -> bytes:
    entry = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": size}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": size}
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [entry]}).encode()


def b64(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
