"""The table of attacks: what is tried, with which credential, and what must come back.

A row's name says what must hold. Nothing here is run; `test_attacks` does that, against a live server.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from tests.images import OCI_MANIFEST
from tests.oidc_issuer import forge, hs256, unsigned
from tests.security.world import APP, VAULT, Credential, Reply, World, basic

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


def _challenges(*parts: str) -> Check:
    return lambda _, reply: all(part in reply.headers.get("www-authenticate", "") for part in parts)


def _hides(*words: str) -> Check:
    return lambda _, reply: not any(word.encode() in reply.body or word in str(reply.headers) for word in words)


def _grants(*allowed: str) -> Check:
    """The token that came back grants this and nothing else: `repository:a:pull`."""

    def check(_: World, reply: Reply) -> bool:
        claims = jwt.decode(json.loads(reply.body)["token"], options={"verify_signature": False})
        found = {f"{entry['type']}:{entry['name']}:{','.join(entry['actions'])}" for entry in claims["access"]}
        return found == set(allowed)

    return check


def _still_there(repository: str, reference: str) -> Check:
    return lambda world, _: (
        world.call(
            "HEAD", f"/v2/{repository}/manifests/{reference}", basic("carol" if repository[0] != "b" else "bob")
        ).status
        == 200
    )


def _manifest_naming(digest: str, size: int) -> bytes:
    entry = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": size}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": size}
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [entry]}).encode()


HEADERS = [
    Attack(
        "no credential opens nothing and is told where to log in",
        "GET",
        VAULT_MANIFEST,
        nobody,
        401,
        ("UNAUTHORIZED",),
        check=_challenges(
            'Bearer realm="http://127.0.0.1:', 'service="cargohold"', 'scope="repository:secret/vault:pull"'
        ),
    ),
    Attack("/v2/ is closed to nobody", "GET", "/v2/", nobody, 401, ("UNAUTHORIZED",)),
    *(
        Attack(
            f"a header that is no credential opens nothing: {value[:30]!r}",
            "GET",
            VAULT_MANIFEST,
            sent(value),
            401,
            ("UNAUTHORIZED",),
        )
        for value in (
            "",
            " ",
            "Basic",
            "Basic ",
            "Bearer",
            "Bearer ",
            "bearer null",
            "Digest username=alice",
            "Negotiate abc",
            "Basic !!!!",
            "Basic " + base64.b64encode(b"alice").decode(),
            "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
            "Basic " + base64.b64encode(b":").decode(),
            "Bearer a.b.c",
            "Bearer " + "A" * 20_000,
            "Token abc",
            "AWS4-HMAC x",
            "Basic " + base64.b64encode(b"carol:" + b"x" * 30_000).decode(),
        )
    ),
    Attack(
        "an oversized header is refused and not read to its end",
        "GET",
        VAULT_MANIFEST,
        sent("Bearer " + "A" * 200_000),
        431,
        ("UNSUPPORTED",),
    ),
]
PASSWORD_ROWS = [
    Attack(
        f"a wrong password opens nothing: {who!r} with {password[:20]!r}",
        "GET",
        VAULT_MANIFEST,
        with_password(who, password),
        401,
        ("UNAUTHORIZED",),
        check=_hides("carol"),
    )
    for who, password in [
        ("carol", ""),
        ("carol", "wrong"),
        ("carol", "velvet underground "),
        ("carol", "velvet\0"),
        ("carol", "velvet underground\0"),
        ("CAROL", "velvet underground"),
        ("carol ", "velvet underground"),
        ("nobody", "velvet underground"),
        ("", "velvet underground"),
        ("carol\0", "velvet underground"),
        ("carol", "correct horse"),
        ("robot:ci", "x"),
        ("*", "*"),
        ("carol'--", "x"),
        ("carol", "$2b$12$" + "a" * 53),
        ("token", "velvet underground"),
    ]
]
TOKEN_ROWS = [
    Attack(
        "an access token under another's name opens nothing",
        "GET",
        VAULT_MANIFEST,
        lambda w: basic("carol", w.robot),
        401,
        ("UNAUTHORIZED",),
    ),
    Attack(
        "a robot's token under its token's id opens nothing",
        "GET",
        "/v2/",
        lambda w: basic(w.robot.split("_")[2], w.robot),
        401,
        ("UNAUTHORIZED",),
    ),
    Attack("an expired token opens nothing", "GET", "/v2/", lambda w: basic("late", w.expired), 401, ("UNAUTHORIZED",)),
    Attack("a revoked token opens nothing", "GET", "/v2/", lambda w: basic("gone", w.revoked), 401, ("UNAUTHORIZED",)),
    Attack(
        "a token with a wrong checksum opens nothing",
        "GET",
        "/v2/",
        lambda w: basic("ci", w.robot[:-1] + "_"),
        401,
        ("UNAUTHORIZED",),
    ),
    Attack(
        "the beginning of a token opens nothing",
        "GET",
        "/v2/",
        lambda w: basic("ci", w.robot[:40]),
        401,
        ("UNAUTHORIZED",),
    ),
    Attack(
        "a refresh token is no password", "GET", "/v2/", lambda w: basic("alice", w.refresh), 401, ("UNAUTHORIZED",)
    ),
    Attack(
        "a refresh token is no bearer token", "GET", "/v2/", lambda w: f"Bearer {w.refresh}", 401, ("UNAUTHORIZED",)
    ),
    Attack("an access token is no bearer token", "GET", "/v2/", lambda w: f"Bearer {w.robot}", 401, ("UNAUTHORIZED",)),
    Attack(
        "a bearer token is no password",
        "GET",
        "/v2/",
        lambda w: basic("carol", w.bearer("carol")[7:]),
        401,
        ("UNAUTHORIZED",),
    ),
    Attack("a robot pulls in its scope", "GET", "/v2/team/app/manifests/1", ROBOT, 200),
    Attack("a robot sees nothing outside of its scope", "GET", VAULT_MANIFEST, ROBOT, 404, ("NAME_UNKNOWN",)),
    Attack("a robot does not push where it may pull", "POST", "/v2/team/app/blobs/uploads/", ROBOT, 403, ("DENIED",)),
    Attack(
        "a limited token does not push, though its user may",
        "POST",
        "/v2/team/app/blobs/uploads/",
        PERSONAL,
        403,
        ("DENIED",),
    ),
    Attack("a limited token pulls within its limit", "GET", "/v2/team/app/manifests/1", PERSONAL, 200),
    Attack(
        "a limited token has no namespace beyond its limit",
        "GET",
        "/v2/users/alice/x/tags/list",
        PERSONAL,
        404,
        ("NAME_UNKNOWN",),
    ),
]


def _jwt(name: str, token: Callable[[World], str]) -> Attack:
    return Attack(
        f"JWT: {name}",
        "GET",
        VAULT_MANIFEST,
        lambda world: f"Bearer {token(world)}",
        401,
        ("UNAUTHORIZED",),
        check=_challenges('error="invalid_token"'),
    )


def _header(world: World, **changes: object) -> dict[str, object]:
    return {"typ": "JWT", "alg": "ES256", "kid": world.key[0], **changes}


def _signed_by_us(world: World) -> Callable[[bytes], bytes]:
    algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    key = load_pem_private_key(world.key[1].encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return lambda text: algorithm.sign(text, key)


def _public(world: World, encoding: Encoding) -> bytes:
    key = load_pem_private_key(world.key[1].encode(), None)
    return key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


def _own_key(world: World, header: Callable[[World, dict[str, str]], dict[str, object]]) -> str:
    """A token signed by the attacker's key; `header` is made of the attacker's public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return jwt.encode(world.claims(), pem, "ES256", header(world, jwk))


def _parts(world: World) -> list[str]:
    return world.mint().split(".")


def _b64(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


JWTS = [
    *(
        _jwt(f"alg {alg!r} without a signature", lambda w, alg=alg: forge(_header(w, alg=alg), w.claims(), unsigned))  # type: ignore[misc]
        for alg in ("none", "None", "NONE", "nOnE", "", None)
    ),
    *(
        _jwt(
            f"alg {alg!r} with our signature",
            lambda w, alg=alg: forge(_header(w, alg=alg), w.claims(), _signed_by_us(w)),  # type: ignore[misc]
        )
        for alg in ("none", "ES384", "RS256", "HS256", "es256")
    ),
    _jwt(
        "HS256 with our public key as PEM",
        lambda w: forge(_header(w, alg="HS256"), w.claims(), hs256(_public(w, Encoding.PEM))),
    ),
    _jwt(
        "HS256 with our public key as DER",
        lambda w: forge(_header(w, alg="HS256"), w.claims(), hs256(_public(w, Encoding.DER))),
    ),
    _jwt(
        "HS256 with our public key as JWK",
        lambda w: forge(_header(w, alg="HS256"), w.claims(), hs256(json.dumps(w.public_jwk()).encode())),
    ),
    _jwt(
        "HS256 with our key's x",
        lambda w: forge(_header(w, alg="HS256"), w.claims(), hs256(w.public_jwk()["x"].encode())),
    ),
    _jwt("HS256 with our key id", lambda w: forge(_header(w, alg="HS256"), w.claims(), hs256(w.key[0].encode()))),
    _jwt("HS256 with an empty secret", lambda w: forge(_header(w, alg="HS256"), w.claims(), hs256(b""))),
    _jwt("another key under our key's id", lambda w: _own_key(w, lambda world, _: {"kid": world.key[0]})),
    _jwt("another key under its own id", lambda w: _own_key(w, lambda _, jwk: {"kid": "mine"})),
    _jwt("another key and no id", lambda w: _own_key(w, lambda *_: {})),
    _jwt("another key that comes along", lambda w: _own_key(w, lambda world, jwk: {"kid": world.key[0], "jwk": jwk})),
    _jwt("another key at a URL", lambda w: _own_key(w, lambda *_: {"kid": "x", "jku": "http://127.0.0.1:1/keys"})),
    _jwt(
        "another key's certificate at a URL",
        lambda w: _own_key(w, lambda *_: {"kid": "x", "x5u": "http://127.0.0.1:1/"}),
    ),
    *(
        _jwt(f"a key id that is {kid!r}", lambda w, kid=kid: _own_key(w, lambda *_: {"kid": kid}))  # type: ignore[misc]
        for kid in ("../../../../dev/null", "x' OR '1'='1", "", "\0", "a" * 5000)
    ),
    _jwt("a key id that is a list", lambda w: forge(_header(w, kid=["a"]), w.claims(), _signed_by_us(w))),
    _jwt("a key id that is a number", lambda w: forge(_header(w, kid=1), w.claims(), _signed_by_us(w))),
    _jwt("the signature left out", lambda w: ".".join(_parts(w)[:2]) + "."),
    _jwt("the signature and its dot left out", lambda w: ".".join(_parts(w)[:2])),
    _jwt("zeros for a signature", lambda w: ".".join([*_parts(w)[:2], _b64(bytes(64))])),
    _jwt("the signature of another token", lambda w: ".".join([*_parts(w)[:2], _parts(w)[2]])),
    _jwt("the parts swapped", lambda w: ".".join(reversed(_parts(w)))),
    _jwt("five parts", lambda w: ".".join([*_parts(w), "a", "b"])),
    _jwt(
        "another's claims under our signature",
        lambda w: ".".join(
            [
                w.bearer("bob", "repository:bob/own:pull")[7:].split(".")[0],
                _b64(w.claims()),
                w.bearer("bob")[7:].split(".")[2],
            ]
        ),
    ),
    _jwt("another service", lambda w: w.mint(aud="another")),
    _jwt("a list of services with ours", lambda w: w.mint(aud=["another", "cargohold"])),
    _jwt("another issuer", lambda w: w.mint(iss="another")),
    _jwt("expired", lambda w: w.mint(exp=1_000_000)),
    _jwt("not yet valid", lambda w: w.mint(nbf=4_000_000_000)),
    _jwt("issued in the future", lambda w: w.mint(iat=4_000_000_000)),
    *(
        _jwt(f"without {claim}", lambda w, claim=claim: w.mint(**{claim: None}))  # type: ignore[misc]
        for claim in ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "access", "cargohold")
    ),
    _jwt("access that is no list", lambda w: w.mint(access="everything")),
    _jwt("access without a name", lambda w: w.mint(access=[{"type": "repository"}])),
    _jwt(
        "an identity of a kind that there is not",
        lambda w: w.mint(
            cargohold={
                "kind": "god",
                "name": "x",
                "groups": [],
                "scope": None,
                "credential": ["password", "", ""],
                "login": "",
            }
        ),
    ),
    _jwt(
        "a password's stamp that is not the user's",
        lambda w: w.mint(
            cargohold={
                "kind": "user",
                "name": "carol",
                "groups": [],
                "scope": None,
                "credential": ["password", "", "x"],
                "login": "",
            }
        ),
    ),
    _jwt(
        "a credential of a kind that there is not",
        lambda w: w.mint(
            cargohold={
                "kind": "user",
                "name": "carol",
                "groups": [],
                "scope": None,
                "credential": ["magic", "", ""],
                "login": "",
            }
        ),
    ),
    _jwt(
        "an access token that does not exist",
        lambda w: w.mint(
            cargohold={
                "kind": "robot",
                "name": "x",
                "groups": [],
                "scope": ["**:*"],
                "credential": ["token", "aaaaaaaaaaaa", ""],
                "login": "",
            }
        ),
    ),
    _jwt("a critical header that nobody knows", lambda w: w.mint({"crit": ["urgent"], "urgent": True})),
    _jwt("claims that are no JSON", lambda w: forge(_header(w), b"nonsense", _signed_by_us(w))),
    _jwt("claims that are a list", lambda w: forge(_header(w), b"[1]", _signed_by_us(w))),
    _jwt("an expiry that is text", lambda w: w.mint(exp="never")),
    _jwt(
        "an expiry beyond all numbers",
        lambda w: forge(
            _header(w), json.dumps({**w.claims(), "exp": 1}).replace(": 1", ": 1e999").encode(), _signed_by_us(w)
        ),
    ),
    Attack(
        "JWT: another type of token with our signature opens what it grants and no more",
        "GET",
        "/v2/secret/other/manifests/1",
        lambda w: f"Bearer {w.mint({'typ': 'refresh'})}",
        401,
        ("UNAUTHORIZED",),
        check=_challenges('error="insufficient_scope"'),
    ),
]


def _looks_alike(method: str, path: str) -> Check:
    """The answer is the one for a repository that does not exist, but for the name."""

    def check(world: World, reply: Reply) -> bool:
        other = world.call(method, path.replace("secret/vault", "secret/nowhere"), basic("alice"))
        changing = {"x-request-id", "date", "content-length"}
        headers = [
            {name: value for name, value in one.headers.items() if name not in changing} for one in (reply, other)
        ]
        same_body = reply.body.replace(b"secret/vault", b"X") == other.body.replace(b"secret/nowhere", b"X")
        return other.status == reply.status and headers[0] == headers[1] and same_body

    return check


EXISTENCE = [
    Attack(
        f"what may not be seen looks as if it were not there: {method} {path}",
        method,
        path,
        ALICE,
        404,
        ("NAME_UNKNOWN",) if method != "HEAD" else (),
        check=_looks_alike(method, path),
    )
    for method, path in [
        ("GET", VAULT_MANIFEST),
        ("HEAD", VAULT_MANIFEST),
        ("GET", f"/v2/secret/vault/manifests/{VAULT.manifest.digest}"),
        ("GET", f"/v2/secret/vault/blobs/{VAULT_BLOB}"),
        ("HEAD", f"/v2/secret/vault/blobs/{VAULT_BLOB}"),
        ("GET", "/v2/secret/vault/tags/list"),
        ("GET", f"/v2/secret/vault/referrers/{VAULT.manifest.digest}"),
        ("DELETE", VAULT_MANIFEST),
        ("DELETE", f"/v2/secret/vault/manifests/{VAULT.manifest.digest}"),
        ("DELETE", f"/v2/secret/vault/blobs/{VAULT_BLOB}"),
    ]
]


def _all_pages_hide(who: Credential, word: str) -> Check:
    def check(world: World, reply: Reply) -> bool:
        target: str | None = "/v2/_catalog?n=1"
        while target is not None:
            page = world.call("GET", target, who(world))
            if word.encode() in page.body or word in page.headers.get("link", ""):
                return False
            link = page.headers.get("link", "")
            target = link[1 : link.index(">")] if link else None
        return word.encode() not in reply.body

    return check


LISTS = [
    Attack(
        "the catalog shows only what may be pulled",
        "GET",
        "/v2/_catalog",
        ALICE,
        200,
        check=_all_pages_hide(ALICE, "secret"),
    ),
    Attack(
        "the catalog is shown page by page without what is hidden",
        "GET",
        "/v2/_catalog?n=1&last=public/base",
        ALICE,
        200,
        check=_hides("secret", "bob/own"),
    ),
    Attack(
        "the catalog shows strangers what is public",
        "GET",
        "/v2/_catalog",
        nobody,
        200,
        check=_all_pages_hide(nobody, "team"),
    ),
    Attack(
        "a token without the scope does not see the catalog",
        "GET",
        "/v2/_catalog",
        with_token("alice", "repository:team/app:pull"),
        401,
        ("UNAUTHORIZED",),
        check=_challenges('scope="registry:catalog:*"', "insufficient_scope"),
    ),
    Attack(
        "the catalog shows a robot its scope",
        "GET",
        "/v2/_catalog",
        ROBOT,
        200,
        check=_hides("secret", "team/closed", "bob"),
    ),
]


def _asks(name: str, who: Credential, scopes: tuple[str, ...], *granted: str) -> Attack:
    query = urlencode([("service", "cargohold"), *(("scope", scope) for scope in scopes)])
    return Attack(f"token service: {name}", "GET", f"/auth/token?{query}", who, 200, check=_grants(*granted))


def _posts(name: str, form: Mapping[str, str], status: int, codes: tuple[str, ...]) -> Attack:
    return Attack(
        f"token service: {name}", "POST", "/auth/token", nobody, status, codes, urlencode(form).encode(), FORM
    )


TOKEN_SERVICE = [
    _asks(
        "nobody gets what is public and nothing else",
        nobody,
        ("repository:public/base:pull,push,delete", "repository:secret/vault:pull"),
        "repository:public/base:pull",
    ),
    _asks("a star is what is allowed", ALICE, ("repository:team/app:*",), "repository:team/app:pull,push"),
    _asks("another's repository is not granted", ALICE, ("repository:bob/own:pull,push,*",)),
    _asks(
        "a denied action is not granted", ALICE, ("repository:team/closed:pull,push",), "repository:team/closed:pull"
    ),
    _asks("administration is not granted", ALICE, ("repository:team/app:admin,pull",), "repository:team/app:pull"),
    _asks(
        "a pattern is a name that nobody has",
        ALICE,
        ("repository:secret/**:pull", "repository:*:pull", "repository:**:pull"),
    ),
    _asks(
        "another's namespace is not granted",
        ALICE,
        ("repository:users/bob/x:pull", "repository:users/alice/x:pull"),
        "repository:users/alice/x:pull",
    ),
    _asks("a class changes nothing", ALICE, ("repository(plugin):secret/vault:pull",)),
    _asks(
        "what there is not is not granted",
        ALICE,
        ("registry:everything:*", "world:domination:*", "registry:catalog:read"),
    ),
    _asks(
        "a robot gets its scope",
        ROBOT,
        ("repository:team/app:pull,push", "repository:secret/vault:pull"),
        "repository:team/app:pull",
    ),
    _asks("a limited token gets its limit", PERSONAL, ("repository:team/app:pull,push",), "repository:team/app:pull"),
    Attack(
        "token service: a wrong password gets nothing",
        "GET",
        "/auth/token?scope=repository:public/base:pull",
        with_password("alice", "wrong"),
        401,
        ("UNAUTHORIZED",),
        check=_challenges("Basic"),
    ),
    Attack(
        "token service: a bearer token is no credential",
        "GET",
        "/auth/token",
        with_token("carol"),
        401,
        ("UNAUTHORIZED",),
    ),
    Attack(
        "token service: a service that is not ours is refused",
        "GET",
        "/auth/token?service=bank",
        ALICE,
        400,
        ("UNSUPPORTED",),
    ),
    *(
        Attack(
            f"token service: {scope!r} is no scope",
            "GET",
            f"/auth/token?scope={quote(scope)}",
            ALICE,
            400,
            ("UNSUPPORTED",),
        )
        for scope in (
            "repository",
            "repository:x",
            ":::",
            "repository::pull",
            "REPOSITORY:x:pull",
            "a" * 5000 + ":x:pull",
        )
    ),
    Attack(
        "token service: two hundred scopes are refused",
        "GET",
        "/auth/token?" + "&".join(["scope=repository:a:pull"] * 200),
        ALICE,
        400,
        ("UNSUPPORTED",),
    ),
    Attack(
        "token service: no line of ours can be made of a parameter",
        "GET",
        "/auth/token?service=x%0d%0aSet-Cookie:%20a=b&scope=repository:a:pull",
        ALICE,
        400,
        ("UNSUPPORTED",),
        check=lambda _, reply: "set-cookie" not in reply.headers,
    ),
    _posts(
        "an unknown grant is refused", {"grant_type": "client_credentials", "username": "carol"}, 400, ("UNSUPPORTED",)
    ),
    _posts("no grant is refused", {"username": "carol", "password": "x"}, 400, ("UNSUPPORTED",)),
    _posts(
        "a wrong password gets nothing",
        {"grant_type": "password", "username": "carol", "password": "x"},
        401,
        ("UNAUTHORIZED",),
    ),
    _posts(
        "an empty refresh token gets nothing",
        {"grant_type": "refresh_token", "refresh_token": ""},
        401,
        ("UNAUTHORIZED",),
    ),
    _posts(
        "a made-up refresh token gets nothing",
        {"grant_type": "refresh_token", "refresh_token": "cargohold_refresh_" + "a" * 12 + "_" + "a" * 46},
        401,
        ("UNAUTHORIZED",),
    ),
    _posts(
        "a path is no refresh token",
        {"grant_type": "refresh_token", "refresh_token": "../accounts"},
        401,
        ("UNAUTHORIZED",),
    ),
    _posts(
        "an identity token of nobody gets nothing",
        {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": "a.b.c"},
        401,
        ("UNAUTHORIZED",),
    ),
    Attack(
        "token service: a huge form is refused",
        "POST",
        "/auth/token",
        nobody,
        400,
        ("UNSUPPORTED",),
        b"a=" + b"x" * 100_000,
        FORM,
    ),
    Attack(
        "token service: a form of another kind is refused",
        "POST",
        "/auth/token",
        nobody,
        400,
        ("UNSUPPORTED",),
        b"{}",
        {"Content-Type": "application/json"},
    ),
    Attack(
        "token service: a form that is none is refused",
        "POST",
        "/auth/token",
        nobody,
        400,
        ("UNSUPPORTED",),
        b"\xff\xfe",
        FORM,
    ),
    Attack(
        "public keys hold nothing private", "GET", "/.well-known/jwks.json", nobody, 200, check=_hides('"d"', "PRIVATE")
    ),
]
BORDERS = [
    Attack(
        "a blob is not mounted from what may not be pulled",
        "POST",
        f"/v2/team/app/blobs/uploads/?mount={VAULT_BLOB}&from=secret/vault",
        ALICE,
        202,
        check=lambda w, _: w.call("HEAD", f"/v2/team/app/blobs/{VAULT_BLOB}", basic("alice")).status == 404,
    ),
    Attack(
        "a blob is not mounted from wherever it may be",
        "POST",
        f"/v2/team/app/blobs/uploads/?mount={VAULT_BLOB}",
        ALICE,
        202,
        check=lambda w, _: w.call("HEAD", f"/v2/team/app/blobs/{VAULT_BLOB}", basic("alice")).status == 404,
    ),
    Attack(
        "a token for the target alone is told to ask for both",
        "POST",
        f"/v2/team/x/blobs/uploads/?mount={APP.layers[0].digest}&from=team/app",
        with_token("alice", "repository:team/x:pull,push"),
        401,
        ("UNAUTHORIZED",),
        check=_challenges("repository:team/x:pull,push repository:team/app:pull", "insufficient_scope"),
    ),
    Attack(
        "a blob of another repository is not read through one's own",
        "GET",
        f"/v2/team/app/blobs/{VAULT_BLOB}",
        ALICE,
        404,
        ("BLOB_UNKNOWN",),
    ),
    Attack(
        "a manifest of another repository is not read through one's own",
        "GET",
        f"/v2/team/app/manifests/{VAULT.manifest.digest}",
        ALICE,
        404,
        ("MANIFEST_UNKNOWN",),
    ),
    Attack(
        "a manifest cannot claim another repository's blob",
        "PUT",
        "/v2/team/app/manifests/stolen",
        ALICE,
        404,
        ("MANIFEST_BLOB_UNKNOWN",),
        _manifest_naming(VAULT_BLOB, len(VAULT.layers[0].data)),
        {"Content-Type": OCI_MANIFEST},
    ),
    Attack(
        "an upload session of another's is nobody's here",
        "PATCH",
        "/v2/team/app/blobs/uploads/00000000-0000-4000-8000-000000000000",
        ALICE,
        404,
        ("BLOB_UPLOAD_UNKNOWN",),
        b"x",
    ),
    Attack(
        "who may only pull does not push",
        "PUT",
        "/v2/public/base/manifests/1",
        ALICE,
        403,
        ("DENIED",),
        APP.manifest.data,
        {"Content-Type": OCI_MANIFEST},
        _still_there("public/base", "1"),
    ),
    Attack(
        "a stranger does not push to what is public",
        "POST",
        "/v2/public/base/blobs/uploads/",
        nobody,
        401,
        ("UNAUTHORIZED",),
    ),
    Attack(
        "who may not push is told so, whether it exists or not",
        "POST",
        "/v2/secret/vault/blobs/uploads/",
        ALICE,
        403,
        ("DENIED",),
    ),
    Attack("a denied push is denied", "POST", "/v2/team/closed/blobs/uploads/", ALICE, 403, ("DENIED",)),
    Attack(
        "a denied push is denied with a token, too",
        "POST",
        "/v2/team/closed/blobs/uploads/",
        with_token("alice", "repository:team/closed:pull,push"),
        403,
        ("DENIED",),
    ),
    Attack(
        "who may push and not delete does not delete a tag",
        "DELETE",
        "/v2/team/app/manifests/1",
        ALICE,
        403,
        ("DENIED",),
        check=_still_there("team/app", "1"),
    ),
    Attack(
        "nor a manifest",
        "DELETE",
        f"/v2/team/app/manifests/{APP.manifest.digest}",
        ALICE,
        403,
        ("DENIED",),
        check=_still_there("team/app", "1"),
    ),
    Attack("nor a blob", "DELETE", f"/v2/team/app/blobs/{APP.layers[0].digest}", ALICE, 403, ("DENIED",)),
    Attack(
        "who may push and not pull reads nothing back", "GET", "/v2/inbox/x/manifests/1", ALICE, 404, ("NAME_UNKNOWN",)
    ),
    Attack(
        "who may push and not pull learns of no blob", "HEAD", f"/v2/inbox/x/blobs/{APP.layers[0].digest}", ALICE, 404
    ),
    Attack(
        "a token for one repository opens no other",
        "GET",
        "/v2/team/closed/manifests/1",
        with_token("alice", "repository:team/app:pull"),
        401,
        ("UNAUTHORIZED",),
        check=_challenges("insufficient_scope", "repository:team/closed:pull"),
    ),
    Attack(
        "a token to pull does not push",
        "POST",
        "/v2/team/app/blobs/uploads/",
        with_token("alice", "repository:team/app:pull"),
        401,
        ("UNAUTHORIZED",),
        check=_challenges("insufficient_scope", "repository:team/app:pull,push"),
    ),
    Attack(
        "a token without a scope opens nothing",
        "GET",
        "/v2/team/app/manifests/1",
        with_token("alice"),
        401,
        ("UNAUTHORIZED",),
    ),
    Attack(
        "a stranger's token opens nothing that is not public",
        "GET",
        VAULT_MANIFEST,
        lambda w: "Bearer " + json.loads(w.call("GET", "/auth/token?scope=repository:secret/vault:pull").body)["token"],
        401,
        ("UNAUTHORIZED",),
    ),
    Attack(
        "an immutable tag is not moved",
        "PUT",
        "/v2/bob/own/manifests/v1",
        BOB,
        409,
        ("DENIED",),
        json.dumps(
            {"schemaVersion": 2, "mediaType": OCI_MANIFEST.replace("manifest", "index"), "manifests": []}
        ).encode(),
        {"Content-Type": OCI_MANIFEST.replace("manifest", "index")},
        _still_there("bob/own", "v1"),
    ),
    Attack(
        "an immutable tag is not deleted",
        "DELETE",
        "/v2/bob/own/manifests/v1",
        BOB,
        409,
        ("DENIED",),
        check=_still_there("bob/own", "v1"),
    ),
    *(
        Attack(
            f"no path leads around the gate: {path}",
            "GET",
            path,
            ALICE,
            status,
            (code,),
            check=_hides(VAULT.manifest.digest),
        )
        for path, status, code in [
            ("/v2/team/../secret/vault/manifests/1", 400, "NAME_INVALID"),
            ("/v2/team%2f..%2fsecret%2fvault/manifests/1", 400, "NAME_INVALID"),
            ("/v2/secret%2fvault/manifests/1", 400, "NAME_INVALID"),
            ("/v2//secret/vault/manifests/1", 400, "NAME_INVALID"),
            ("/v2/secret/vault%00/manifests/1", 400, "NAME_INVALID"),
            ("/v2/SECRET/vault/manifests/1", 400, "NAME_INVALID"),
            ("/v2/secret/vault/manifests/1%2f", 404, "NAME_UNKNOWN"),
            ("/v2/./secret/vault/manifests/1", 400, "NAME_INVALID"),
            ("/v2/secret/vault/nothing/1", 404, "UNSUPPORTED"),
            ("/v2/secret/vault/manifests/1?from=team/app", 404, "NAME_UNKNOWN"),
            ("/v2/%73ecret/vault/manifests/1", 404, "NAME_UNKNOWN"),
            ("/v2/team/app/manifests/../../../secret/vault/manifests/1", 400, "NAME_INVALID"),
        ]
    ),
    Attack(
        "a method that is none is refused before anything is looked at",
        "BREW",
        VAULT_MANIFEST,
        nobody,
        400,
        ("UNSUPPORTED",),
    ),
    Attack(
        "another method in a header changes nothing",
        "GET",
        "/v2/team/app/manifests/1",
        ROBOT,
        200,
        headers={"X-HTTP-Method-Override": "DELETE"},
        check=_still_there("team/app", "1"),
    ),
    Attack(
        "another user in a header is nobody",
        "GET",
        VAULT_MANIFEST,
        nobody,
        401,
        ("UNAUTHORIZED",),
        headers={"X-Forwarded-User": "carol", "X-Remote-User": "carol"},
    ),
    Attack(
        "another path in a header is not taken",
        "GET",
        "/v2/public/base/manifests/1",
        nobody,
        200,
        headers={"X-Original-URL": VAULT_MANIFEST, "X-Rewrite-URL": VAULT_MANIFEST},
        check=_hides(VAULT.manifest.digest),
    ),
    Attack(
        "the realm names the host that was asked, not one that a stranger forwards",
        "GET",
        VAULT_MANIFEST,
        nobody,
        401,
        ("UNAUTHORIZED",),
        headers={"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"},
        check=lambda _, reply: "evil" not in reply.headers["www-authenticate"],
    ),
]
ATTACKS = [*HEADERS, *PASSWORD_ROWS, *TOKEN_ROWS, *JWTS, *EXISTENCE, *LISTS, *TOKEN_SERVICE, *BORDERS]
