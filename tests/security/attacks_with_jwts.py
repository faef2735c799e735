"""Attacks with bearer tokens that are forged, changed, stolen from elsewhere, or not of their time."""

import base64
import json
import zlib
from collections.abc import Callable, Mapping

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from tests.oidc_issuer import forge, hs256, unsigned
from tests.security.attack import VAULT_MANIFEST, Attack, b64, challenges
from tests.security.world import World, basic


def _jwt(name: str, token: Callable[[World], str]) -> Attack:
    return Attack(
        f"JWT: {name}",
        "GET",
        VAULT_MANIFEST,
        lambda world: f"Bearer {token(world)}",
        401,
        ("UNAUTHORIZED",),
        check=challenges('error="invalid_token"'),
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


def _with_claims(world: World, **changes: object) -> str:
    """A token of alice with changed claims and the signature that it had."""
    header, claims, signature = str(world.token_for("alice", "repository:team/app:pull")["token"]).split(".")
    real = json.loads(base64.urlsafe_b64decode(claims + "=="))
    return ".".join([header, b64({**real, **changes}), signature])


def _minted_for(world: World, authorization: str, identity: Mapping[str, object]) -> str:
    """A token with our signature for whoever logs in so, which opens the vault and says this of them."""
    reply = world.call("GET", "/auth/token", authorization)
    real = jwt.decode(json.loads(reply.body)["token"], options={"verify_signature": False})
    access = [{"type": "repository", "name": "secret/vault", "actions": ["pull"]}]
    return world.mint(sub=real["sub"], access=access, cargohold={**real["cargohold"], **identity})


def _hidden_from(name: str, who: str, identity: Mapping[str, object]) -> Attack:
    return Attack(
        f"JWT: {name} opens nothing that the rules of now do not",
        "GET",
        VAULT_MANIFEST,
        lambda w: f"Bearer {_minted_for(w, basic(who), identity)}",
        404,
        ("NAME_UNKNOWN",),
    )


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
    _jwt("zeros for a signature", lambda w: ".".join([*_parts(w)[:2], b64(bytes(64))])),
    _jwt("the signature of another token", lambda w: ".".join([*_parts(w)[:2], _parts(w)[2]])),
    _jwt("the parts swapped", lambda w: ".".join(reversed(_parts(w)))),
    _jwt("five parts", lambda w: ".".join([*_parts(w), "a", "b"])),
    _jwt(
        "another's claims under our signature",
        lambda w: ".".join(
            [
                w.bearer("bob", "repository:bob/own:pull")[7:].split(".")[0],
                b64(w.claims()),
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
        check=challenges('error="insufficient_scope"'),
    ),
    _jwt(
        "another key's certificate that comes along",
        lambda w: _own_key(w, lambda world, _: {"kid": world.key[0], "x5c": ["MIIB"]}),
    ),
    _jwt("claims that are not Base64", lambda w: w.mint({"b64": False, "crit": ["b64"]})),
    _jwt(
        "claims that are said to be no Base64 and are not signed",
        lambda w: forge(_header(w, b64=False), w.claims(), unsigned),
    ),
    _jwt(
        "an encrypted token",
        lambda w: ".".join([b64({"alg": "dir", "enc": "A256GCM", "kid": w.key[0]}), "", *("AAAA",) * 3]),
    ),
    _jwt(
        "a compressed token",
        lambda w: forge(_header(w, zip="DEF"), zlib.compress(json.dumps(w.claims()).encode()), _signed_by_us(w)),
    ),
    _jwt(
        "two algorithms of which the last is none",
        lambda w: (
            b64(f'{{"kid":"{w.key[0]}","alg":"ES256","alg":"none"}}'.encode()) + "." + ".".join([b64(w.claims()), ""])
        ),
    ),
    _jwt("a header so deep that it cannot be read", lambda _: ".".join([b64(b'{"a":' + b"[" * 9_000), "e30", "AAAA"])),
    _jwt("a header that is no object", lambda _: ".".join([b64(b'["ES256"]'), "e30", "AAAA"])),
    _jwt("a header that is a number of many digits", lambda _: ".".join([b64(b'{"kid":' + b"9" * 5_000), "e30", "A"])),
    _jwt("a token longer than any of ours", lambda w: w.mint(padding="x" * 20_000)),
    _jwt(
        "a signature in another encoding",
        lambda w: ".".join([*_parts(w)[:2], b64(b"\x30\x06\x02\x01\x01\x02\x01\x01")]),
    ),
    _jwt(
        "our claims with more access",
        lambda w: _with_claims(w, access=[{"type": "repository", "name": "secret/vault", "actions": ["pull"]}]),
    ),
    _jwt("our claims about somebody else", lambda w: _with_claims(w, sub="carol")),
    _jwt("our claims for longer", lambda w: _with_claims(w, exp=4_000_000_000)),
    *(
        _jwt(f"the service {service!r}", lambda w, service=service: w.mint(aud=service))  # type: ignore[misc]
        for service in ("", "CARGOHOLD", "cargohold ", "cargohold,another", "carg", ["cargohold"])
    ),
    *(
        _jwt(
            f"an identity whose {field} is {value!r}",
            lambda w, field=field, value=value: w.mint(cargohold={**w.claims()["cargohold"], field: value}),  # type: ignore[misc]
        )
        for field, value in [
            ("name", ""),
            ("name", 5),
            ("name", ["carol"]),
            ("groups", 5),
            ("scope", [5]),
            ("scope", "**:*"),
            ("credential", []),
            ("login", ["a"]),
        ]
    ),
    _jwt("an identity that is a list", lambda w: w.mint(cargohold=["carol"])),
    _hidden_from("a token that grants more than the rules", "alice", {}),
    _hidden_from("a token that claims a group", "alice", {"groups": ["keepers"]}),
    _hidden_from("a user's token that claims a scope", "alice", {"scope": ["**:*"]}),
    Attack(
        "JWT: a robot's token that claims a wider scope opens no more than the robot's own",
        "GET",
        VAULT_MANIFEST,
        lambda w: f"Bearer {_minted_for(w, basic('ci', w.robot), {'scope': ['**:*']})}",
        404,
        ("NAME_UNKNOWN",),
    ),
    Attack(
        "JWT: a robot's token that claims to be a user opens no more than the robot's own",
        "GET",
        VAULT_MANIFEST,
        lambda w: f"Bearer {_minted_for(w, basic('ci', w.robot), {'kind': 'user', 'name': 'carol', 'scope': None})}",
        404,
        ("NAME_UNKNOWN",),
    ),
]
