"""Attacks with bearer tokens that are forged, changed, stolen from elsewhere, or not of their time."""

import json
from collections.abc import Callable

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
from tests.security.world import World


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
]
