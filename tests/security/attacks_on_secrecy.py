"""Attempts to learn whether a repository exists that one may not see."""

import json
from collections.abc import Mapping

from tests.security.attack import (
    ALICE,
    ROBOT,
    VAULT_BLOB,
    VAULT_MANIFEST,
    Attack,
    Check,
    challenges,
    hides,
    nobody,
    with_token,
)
from tests.security.world import VAULT, Credential, Reply, World, basic


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


def _alike(
    who: str,
    credential: Credential,
    method: str,
    path: str,
    answer: tuple[int, str],
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Attack:
    """Whoever may not see the vault gets the answer that they would get if it were not there."""
    status, code = answer

    def check(world: World, reply: Reply) -> bool:
        elsewhere = path.replace("secret/vault", "secret/vaulx")
        other = world.call(method, elsewhere, credential(world), body, headers)
        return _without_names(reply) == _without_names(other)

    codes = (code,) if code else ()
    name = f"{who} cannot tell whether it exists: {method} {path[:70]} {headers or ''}".strip()
    return Attack(name, method, path, credential, status, codes, body, headers or {}, check)


def _without_names(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    changing = {"x-request-id", "date", "connection"}  # closed if a body has come that nobody read
    headers = {
        name: value.replace("secret/vaulx", "secret/vault")
        for name, value in reply.headers.items()
        if name not in changing
    }
    return reply.status, headers, reply.body.replace(b"secret/vaulx", b"secret/vault")


_SESSION = "00000000-0000-4000-8000-000000000000"
_NOT_SEEN, _NOT_ALLOWED, _LOG_IN = (404, "NAME_UNKNOWN"), (403, "DENIED"), (401, "UNAUTHORIZED")
ORACLES = [
    *(
        _alike("a stranger", nobody, method, path, (401, "") if method == "HEAD" else _LOG_IN)
        for method, path in [
            ("GET", VAULT_MANIFEST),
            ("HEAD", VAULT_MANIFEST),
            ("GET", f"/v2/secret/vault/blobs/{VAULT_BLOB}"),
            ("GET", "/v2/secret/vault/tags/list"),
            ("GET", f"/v2/secret/vault/referrers/{VAULT.manifest.digest}"),
            ("DELETE", VAULT_MANIFEST),
            ("POST", "/v2/secret/vault/blobs/uploads/"),
            ("PUT", VAULT_MANIFEST),
        ]
    ),
    *(
        _alike("a robot", ROBOT, method, path, _NOT_SEEN)
        for method, path in [
            ("GET", VAULT_MANIFEST),
            ("GET", f"/v2/secret/vault/blobs/{VAULT_BLOB}"),
            ("GET", "/v2/secret/vault/tags/list"),
            ("DELETE", VAULT_MANIFEST),
        ]
    ),
    *(
        _alike("a user", ALICE, method, path, _NOT_ALLOWED, body)
        for method, path, body in [
            ("POST", "/v2/secret/vault/blobs/uploads/", b""),
            ("POST", f"/v2/secret/vault/blobs/uploads/?mount={VAULT_BLOB}&from=secret/vault", b""),
            ("POST", f"/v2/secret/vault/blobs/uploads/?digest={VAULT_BLOB}", VAULT.layers[0].data),
            ("GET", f"/v2/secret/vault/blobs/uploads/{_SESSION}", b""),
            ("PATCH", f"/v2/secret/vault/blobs/uploads/{_SESSION}", b"x"),
            ("PUT", f"/v2/secret/vault/blobs/uploads/{_SESSION}?digest={VAULT_BLOB}", b"x"),
            ("DELETE", f"/v2/secret/vault/blobs/uploads/{_SESSION}", b""),
            ("PUT", VAULT_MANIFEST, VAULT.manifest.data),
            ("PUT", f"/v2/secret/vault/manifests/{VAULT.manifest.digest}", VAULT.manifest.data),
        ]
    ),
    *(
        _alike("a user", ALICE, "GET", path, _NOT_SEEN, headers=headers)
        for path, headers in [
            (VAULT_MANIFEST, {"If-None-Match": "*"}),
            (VAULT_MANIFEST, {"If-None-Match": f'"{VAULT.manifest.digest}"'}),
            (f"/v2/secret/vault/blobs/{VAULT_BLOB}", {"If-None-Match": f'"{VAULT_BLOB}"', "Range": "bytes=0-0"}),
            (f"/v2/secret/vault/blobs/{VAULT_BLOB}?x", {"Range": "bytes=999999999-"}),
            ("/v2/secret/vault/tags/list?n=1&last=0", {}),
            ("/v2/secret/vault/tags/list?n=0", {}),
            (f"/v2/secret/vault/referrers/{VAULT.manifest.digest}?artifactType=a/b", {}),
            ("/v2/secret/vault/manifests/sha256:short", {}),
            ("/v2/secret/vault/manifests/-no-tag-", {}),
            ("/v2/secret/vault/blobs/sha256:short", {}),
            ("/v2/secret/vault/referrers/sha256:short", {}),
        ]
    ),
    _alike(
        "whoever mounts",
        ALICE,
        "POST",
        "/v2/team/app/blobs/uploads/?mount=sha256:no&from=secret/vault",
        (400, "DIGEST_INVALID"),
    ),
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
        check=hides("secret", "bob/own"),
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
        check=challenges('scope="registry:catalog:*"', "insufficient_scope"),
    ),
    Attack(
        "the catalog shows a robot its scope",
        "GET",
        "/v2/_catalog",
        ROBOT,
        200,
        check=hides("secret", "team/closed", "bob"),
    ),
    *(
        Attack(
            f"no page of the catalog begins or ends with what is hidden: {query}",
            "GET",
            f"/v2/_catalog?{query}",
            ALICE,
            200,
            check=hides("vault", "bob/own"),
        )
        for query in (
            "n=1&last=secret/a",
            "n=1&last=bob/a",
            "n=1&last=public/zzz",
            "n=1&last=secret/v",
            "n=2&last=a",
            "n=0",
            "n=0&last=secret/a",
            "n=99999999999999999999",
            "last=secret&n=5",
            "n=1&n=1000&last=secret",
        )
    ),
    *(
        Attack(
            f"the catalog takes no such page: {query}",
            "GET",
            f"/v2/_catalog?{query}",
            ALICE,
            400,
            (code,),
            check=hides("vault"),
        )
        for query, code in [
            ("n=-1", "UNSUPPORTED"),
            ("n=1%00", "UNSUPPORTED"),
            ("n=1&last=secret%0d%0aSet-Cookie:%20a=b", "NAME_INVALID"),
            ("last=..%2f..%2fsecret", "NAME_INVALID"),
        ]
    ),
    Attack(
        "the length of the catalog tells a robot nothing",
        "HEAD",
        "/v2/_catalog",
        ROBOT,
        200,
        check=lambda w, reply: (
            reply.headers["content-length"] == str(len(b'{"repositories":["public/base","team/app"]}'))
        ),
    ),
    Attack(
        "a stranger's token for the catalog shows what is public",
        "GET",
        "/v2/_catalog",
        lambda w: "Bearer " + json.loads(w.call("GET", "/auth/token?scope=registry:catalog:*").body)["token"],
        200,
        check=hides("secret", "team", "bob"),
    ),
]
