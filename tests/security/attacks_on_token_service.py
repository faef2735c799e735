"""Attempts to get a token, or a token that grants more than one may have."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

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
    with_password,
    with_token,
)
from tests.security.world import Credential


def _asks(name: str, who: Credential, scopes: tuple[str, ...], *granted: str) -> Attack:
    query = urlencode([("service", "cargohold"), *(("scope", scope) for scope in scopes)])
    return Attack(f"token service: {name}", "GET", f"/auth/token?{query}", who, 200, check=grants(*granted))


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
        check=challenges("Basic"),
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
]
