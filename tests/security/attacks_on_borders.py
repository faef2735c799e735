"""Attempts to reach over from what one may do to what one may not."""

import json

from tests.images import OCI_INDEX, OCI_MANIFEST
from tests.security.attack import (
    ALICE,
    BOB,
    ROBOT,
    VAULT_BLOB,
    VAULT_MANIFEST,
    Attack,
    challenges,
    hides,
    manifest_naming,
    nobody,
    still_there,
    with_password,
    with_token,
)
from tests.security.world import APP, OWN, VAULT, Reply, World, basic


def _is_private(_: World, reply: Reply) -> bool:
    """A cache between us and many clients must not keep it (RFC 9111, section 3.5)."""
    words = reply.headers.get("cache-control", "")
    return not any(word in words for word in ("public", "s-maxage", "must-revalidate"))


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
        "a token for the target alone does not mount from wherever its holder may pull",
        "POST",
        f"/v2/team/x/blobs/uploads/?mount={VAULT_BLOB}",
        with_token("dora", "repository:team/x:pull,push"),
        202,
        check=lambda w, _: w.call("HEAD", f"/v2/team/x/blobs/{VAULT_BLOB}", basic("dora")).status == 404,
    ),
    Attack(
        "a token for the target alone is told to ask for both",
        "POST",
        f"/v2/team/x/blobs/uploads/?mount={APP.layers[0].digest}&from=team/app",
        with_token("alice", "repository:team/x:pull,push"),
        401,
        ("UNAUTHORIZED",),
        check=challenges("repository:team/x:pull,push repository:team/app:pull", "insufficient_scope"),
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
        manifest_naming(VAULT_BLOB, len(VAULT.layers[0].data)),
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
        still_there("public/base", "1"),
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
        check=still_there("team/app", "1"),
    ),
    Attack(
        "nor a manifest",
        "DELETE",
        f"/v2/team/app/manifests/{APP.manifest.digest}",
        ALICE,
        403,
        ("DENIED",),
        check=still_there("team/app", "1"),
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
        check=challenges("insufficient_scope", "repository:team/closed:pull"),
    ),
    Attack(
        "a token to pull does not push",
        "POST",
        "/v2/team/app/blobs/uploads/",
        with_token("alice", "repository:team/app:pull"),
        401,
        ("UNAUTHORIZED",),
        check=challenges("insufficient_scope", "repository:team/app:pull,push"),
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
        still_there("bob/own", "v1"),
    ),
    Attack(
        "an immutable tag is not deleted",
        "DELETE",
        "/v2/bob/own/manifests/v1",
        BOB,
        409,
        ("DENIED",),
        check=still_there("bob/own", "v1"),
    ),
    *(
        Attack(
            f"no path leads around the gate: {path}",
            "GET",
            path,
            ALICE,
            status,
            (code,),
            check=hides(VAULT.manifest.digest),
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
        check=still_there("team/app", "1"),
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
        check=hides(VAULT.manifest.digest),
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
    *(
        Attack(
            f"a blob is not mounted from two repositories at once: {query}",
            "POST",
            f"/v2/team/app/blobs/uploads/?mount={VAULT_BLOB}&{query}",
            ALICE,
            202,
            check=lambda w, _: w.call("HEAD", f"/v2/team/app/blobs/{VAULT_BLOB}", basic("alice")).status == 404,
        )
        for query in ("from=team/app&from=secret/vault", "from=secret/vault&from=team/app", "from=")
    ),
    *(
        Attack(
            f"a blob is not mounted from a name that is none: {name}",
            "POST",
            f"/v2/team/app/blobs/uploads/?mount={VAULT_BLOB}&from={name}",
            ALICE,
            400,
            ("NAME_INVALID",),
            check=lambda w, _: w.call("HEAD", f"/v2/team/app/blobs/{VAULT_BLOB}", basic("alice")).status == 404,
        )
        for name in ("team/../secret/vault", "..%2fsecret%2fvault", "SECRET/vault", "secret/vault%00", "secret/vault/")
    ),
    Attack(
        "a token for the target alone does not mount what is hidden",
        "POST",
        f"/v2/team/x/blobs/uploads/?mount={VAULT_BLOB}&from=secret/vault",
        with_token("alice", "repository:team/x:pull,push", "repository:secret/vault:pull"),
        202,
        check=lambda w, _: w.call("HEAD", f"/v2/team/x/blobs/{VAULT_BLOB}", basic("alice")).status == 404,
    ),
    Attack(
        "a blob is not mounted from where one may push and not pull",
        "POST",
        f"/v2/team/app/blobs/uploads/?mount={VAULT_BLOB}&from=inbox/x",
        ALICE,
        202,
    ),
    Attack(
        "an index cannot claim another repository's manifest",
        "PUT",
        "/v2/team/app/manifests/stolen",
        ALICE,
        404,
        ("MANIFEST_BLOB_UNKNOWN",),
        json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [VAULT.manifest.descriptor]}).encode(),
        {"Content-Type": OCI_INDEX},
    ),
    Attack(
        "a manifest of another repository cannot be pushed without its blobs",
        "PUT",
        f"/v2/team/app/manifests/{VAULT.manifest.digest}",
        ALICE,
        404,
        ("MANIFEST_BLOB_UNKNOWN",) * len(VAULT.blobs),
        VAULT.manifest.data,
        {"Content-Type": OCI_MANIFEST},
    ),
    Attack(
        "a blob that an immutable tag needs is not deleted",
        "DELETE",
        f"/v2/bob/own/blobs/{OWN.layers[0].digest}",
        BOB,
        409,
        ("DENIED",),
        check=lambda w, _: w.call("HEAD", f"/v2/bob/own/blobs/{OWN.layers[0].digest}", BOB(w)).status == 200,
    ),
    Attack(
        "an immutable tag is not deleted by the digest behind it",
        "DELETE",
        f"/v2/bob/own/manifests/{OWN.manifest.digest}",
        BOB,
        409,
        ("DENIED",),
        check=still_there("bob/own", OWN.manifest.digest),
    ),
    Attack(
        "another does not touch an immutable tag at all",
        "DELETE",
        "/v2/bob/own/manifests/v1",
        ALICE,
        404,
        ("NAME_UNKNOWN",),
        check=still_there("bob/own", "v1"),
    ),
    Attack(
        "a denied push is denied for a tag, too",
        "PUT",
        "/v2/team/closed/manifests/1",
        ALICE,
        403,
        ("DENIED",),
        APP.manifest.data,
        {"Content-Type": OCI_MANIFEST},
    ),
    Attack("what is denied to push is still pulled", "GET", "/v2/team/closed/manifests/1", ALICE, 200),
    Attack(
        "a denied push is not mounted around",
        "POST",
        f"/v2/team/closed/blobs/uploads/?mount={APP.layers[0].digest}&from=team/app",
        ALICE,
        403,
        ("DENIED",),
    ),
    *(
        Attack(f"a robot to pull changes nothing: {method} {path[:40]}", method, path, ROBOT, 403, ("DENIED",), body)
        for method, path, body in [
            ("PUT", "/v2/team/app/manifests/1", APP.manifest.data),
            ("DELETE", "/v2/team/app/manifests/1", b""),
            ("DELETE", f"/v2/team/app/blobs/{APP.layers[0].digest}", b""),
            ("PATCH", "/v2/team/app/blobs/uploads/00000000-0000-4000-8000-000000000000", b"x"),
        ]
    ),
    *(
        Attack(
            f"a session id is no path: {text}",
            "PATCH",
            f"/v2/team/app/blobs/uploads/{text}",
            ALICE,
            status,
            (code,),
            b"x",
        )
        for text, status, code in [
            ("..%2f..%2fbob%2fown%2fx", 404, "BLOB_UPLOAD_UNKNOWN"),
            ("..", 404, "BLOB_UPLOAD_UNKNOWN"),
            ("%00", 404, "BLOB_UPLOAD_UNKNOWN"),
            ("a" * 3000, 404, "BLOB_UPLOAD_UNKNOWN"),
            ("../../../secret/vault/blobs/uploads/x", 400, "NAME_INVALID"),
        ]
    ),
    *(
        Attack(
            f"a way around the gate is none: {path}",
            "GET",
            path,
            nobody,
            status,
            codes,
            check=hides(VAULT.manifest.digest),
        )
        for path, status, codes in [
            ("//v2/secret/vault/manifests/1", 404, ()),
            ("/V2/secret/vault/manifests/1", 404, ()),
            ("/%76%32/secret/vault/manifests/1", 404, ("UNSUPPORTED",)),
            ("/v2\\secret\\vault\\manifests\\1", 404, ("UNSUPPORTED",)),
            ("/v2/secret/vault/manifests/1;x", 401, ("UNAUTHORIZED",)),
            ("/v2/secret/vault/manifests/1#x", 401, ("UNAUTHORIZED",)),
            ("/v2/secret/vault/manifests/1%00", 401, ("UNAUTHORIZED",)),
            ("/v2/%252e%252e/secret/vault/manifests/1", 400, ("NAME_INVALID",)),
            ("/v2/secret%252fvault/manifests/1", 400, ("NAME_INVALID",)),
            ("/healthz/../v2/secret/vault/manifests/1", 404, ()),
            ("/auth/token/../../v2/secret/vault/manifests/1", 404, ()),
            ("/v2/secret/vault/manifests/1/", 404, ("UNSUPPORTED",)),
            ("/cargohold/v1/auth/keys", 404, ()),
            ("/v2/../cargohold/v1/auth/keys", 404, ("UNSUPPORTED",)),
        ]
    ),
    *(
        Attack(
            f"{method} tells a stranger nothing",
            method,
            VAULT_MANIFEST,
            nobody,
            405,
            ("UNSUPPORTED",),
            check=hides("vault"),
        )
        for method in ("OPTIONS", "TRACE", "PATCH", "POST")
    ),
    *(
        Attack(
            f"an answer to one is not kept for others: {path[:40]}",
            "GET",
            path,
            with_password("carol"),
            200,
            check=_is_private,
        )
        for path in (
            VAULT_MANIFEST,
            f"/v2/secret/vault/blobs/{VAULT_BLOB}",
            "/v2/_catalog",
            "/v2/secret/vault/tags/list",
        )
    ),
    *(
        Attack(
            f"a host that is none is not sent on: {host!r}",
            "GET",
            "/v2/",
            nobody,
            401,
            ("UNAUTHORIZED",),
            headers={"Host": host},
            check=lambda _, reply: reply.headers["www-authenticate"].startswith('Bearer realm="/auth/token",service='),
        )
        for host in ("[", "a]b", 'a",x="b', "a/b", "a@b", "a b", "a?b", "")
    ),
]
