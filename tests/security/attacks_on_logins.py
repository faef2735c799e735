"""Attacks with credentials: headers that are none, wrong passwords, access tokens of others or for something else."""

import base64

from tests.security.attack import (
    PERSONAL,
    ROBOT,
    VAULT_MANIFEST,
    Attack,
    challenges,
    hides,
    nobody,
    sent,
    with_password,
)
from tests.security.world import basic

HEADERS = [
    Attack(
        "no credential opens nothing and is told where to log in",
        "GET",
        VAULT_MANIFEST,
        nobody,
        401,
        ("UNAUTHORIZED",),
        check=challenges(
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
            "Basic YTpi\xff",
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
        check=hides("carol"),
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
