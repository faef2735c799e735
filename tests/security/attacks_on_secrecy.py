"""Attempts to learn whether a repository exists that one may not see."""

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
]
