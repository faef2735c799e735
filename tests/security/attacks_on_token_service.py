"""Attempts to get a token, or a token that grants more than one may have."""

import json
from collections.abc import Mapping
from urllib.parse import quote, urlencode

import jwt

from tests.security.attack import (
    ALICE,
    FORM,
    PERSONAL,
    ROBOT,
    Attack,
    challenges,
    grants,
    hides,
    nobody,
    sent,
    with_password,
    with_token,
)
from tests.security.world import PASSWORDS, Credential, Reply


def _asks(name: str, who: Credential, scopes: tuple[str, ...], *granted: str) -> Attack:
    query = urlencode([("service", "cargohold"), *(("scope", scope) for scope in scopes)])
    return Attack(f"token service: {name}", "GET", f"/auth/token?{query}", who, 200, check=grants(*granted))


def _posts(name: str, form: Mapping[str, str], status: int, codes: tuple[str, ...]) -> Attack:
    return Attack(
        f"token service: {name}", "POST", "/auth/token", nobody, status, codes, urlencode(form).encode(), FORM
    )


def _subject(reply: Reply) -> str:
    claims = jwt.decode(json.loads(reply.body)["token"], options={"verify_signature": False})
    return str(claims["sub"])


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
        check=challenges("Basic"),
    ),
    Attack(
        "token service: what is no Base64 is no credential",
        "GET",
        "/auth/token",
        sent("Basic YTpi\xff"),
        401,
        ("UNAUTHORIZED",),
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
        "a wrong password in a form gets nothing",
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
        "public keys hold nothing private", "GET", "/.well-known/jwks.json", nobody, 200, check=hides('"d"', "PRIVATE")
    ),
    *(
        _asks(f"a name that no repository can have is not granted: {name[:24]!r}", ALICE, (f"repository:{name}:pull",))
        for name in (
            "team/../secret/vault",
            "team/..",
            "team/",
            "team//app",
            "team/APP",
            "team/*",
            "team/app\0",
            "team/%2e%2e/secret",
            "team/" + "a" * 300,
            "/team/app",
            "../team/app",
            "*",
            "TEAM/app",
            "localhost:5000/team/app",
        )
    ),
    _asks("actions in capitals are none", ALICE, ("repository:team/app:PULL,Push,ALL",)),
    _asks("a class of actions is not all of them", ALICE, ("repository:team/app:**,%,.*,pull*",)),
    _asks("no action is nothing", ALICE, ("repository:team/app:", "repository:team/app:,,,")),
    _asks("nobody gets no catalog of actions", nobody, ("registry:catalog:pull,push", "registry(plugin):all:*")),
    _asks(
        "two scopes do not add up to more",
        ALICE,
        ("repository:public/base:pull", "repository:public/base:push,delete"),
        "repository:public/base:pull",
    ),
    _asks(
        "deletion is not granted to who may push",
        ALICE,
        ("repository:team/app:delete,pull",),
        "repository:team/app:pull",
    ),
    _asks("who may push and not pull gets that", ALICE, ("repository:inbox/x:pull,push",), "repository:inbox/x:push"),
    Attack(
        "token service: an account in the query is nobody",
        "GET",
        "/auth/token?account=carol&username=carol&scope=repository:secret/vault:pull",
        ALICE,
        200,
        check=lambda w, reply: grants()(w, reply) and _subject(reply) == "alice",
    ),
    Attack(
        "token service: a stranger's account in the query is nobody",
        "GET",
        "/auth/token?account=carol&scope=repository:secret/vault:pull",
        nobody,
        200,
        check=lambda w, reply: grants()(w, reply) and _subject(reply) == "",
    ),
    Attack(
        "token service: a stranger gets no login that lasts",
        "GET",
        "/auth/token?offline_token=true&client_id=docker",
        nobody,
        200,
        check=hides("refresh_token"),
    ),
    Attack(
        "token service: an answer with a token is kept by no cache",
        "GET",
        "/auth/token",
        ALICE,
        200,
        check=lambda _, reply: reply.headers["cache-control"] == "no-store",
    ),
    *(
        Attack(
            f"token service: no line is made of {parameter}",
            "GET",
            f"/auth/token?{parameter}=x%0d%0aSet-Cookie:%20a=b&scope=repository:team/app:pull",
            ALICE,
            200,
            check=lambda _, reply: "set-cookie" not in reply.headers,
        )
        for parameter in ("client_id", "account", "offline_token")
    ),
    Attack(
        "token service: no line is made of a scope",
        "GET",
        "/auth/token?scope=repository:team/app%0d%0aSet-Cookie:a=b:pull",
        ALICE,
        400,
        ("UNSUPPORTED",),
        check=lambda _, reply: "set-cookie" not in reply.headers,
    ),
    Attack(
        "token service: a form without a field is refused",
        "POST",
        "/auth/token",
        ALICE,
        400,
        ("UNSUPPORTED",),
        b"",
        FORM,
    ),
    Attack(
        "token service: a form of bad percent-encoding gets nothing",
        "POST",
        "/auth/token",
        nobody,
        401,
        ("UNAUTHORIZED",),
        b"grant_type=password&username=%zz%ff%&password=%",
        FORM,
    ),
    Attack(
        "token service: a form of three hundred fields is refused",
        "POST",
        "/auth/token",
        nobody,
        400,
        ("UNSUPPORTED",),
        b"&".join([b"a=b"] * 300),
        FORM,
    ),
    Attack(
        "token service: a form in parts is refused",
        "POST",
        "/auth/token",
        nobody,
        400,
        ("UNSUPPORTED",),
        b"--x--",
        {"Content-Type": "multipart/form-data; boundary=x"},
    ),
    Attack("token service: it is not deleted", "DELETE", "/auth/token", ALICE, 405),
    Attack("token service: nothing is put there", "PUT", "/auth/token", ALICE, 405),
    _posts(
        "another's password gets nothing",
        {"grant_type": "password", "username": "carol", "password": PASSWORDS["alice"]},
        401,
        ("UNAUTHORIZED",),
    ),
    _posts(
        "a password for an access token's id gets nothing",
        {"grant_type": "refresh_token", "refresh_token": PASSWORDS["alice"]},
        401,
        ("UNAUTHORIZED",),
    ),
    _posts(
        "an empty password gets nothing",
        {"grant_type": "password", "username": "carol", "password": ""},
        401,
        ("UNAUTHORIZED",),
    ),
    _posts(
        "a form for a service that is not ours is refused",
        {"grant_type": "password", "username": "alice", "password": PASSWORDS["alice"], "service": "bank"},
        400,
        ("UNSUPPORTED",),
    ),
    _posts(
        "a form with a scope that is none is refused",
        {"grant_type": "password", "username": "alice", "password": PASSWORDS["alice"], "scope": "everything"},
        400,
        ("UNSUPPORTED",),
    ),
]
