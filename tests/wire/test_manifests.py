"""Manifests: end-3 (GET, HEAD), end-7 (PUT), end-9 (DELETE)."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.images import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Content,
    Image,
    Index,
    artifact,
    index,
    random_image,
)
from tests.wire.repository import Repository, digest_of

ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"


def _kinds(seed: int) -> dict[str, Image | Index]:
    arm = random_image(seed, layer_size=1000, architecture="arm64")
    amd = random_image(seed + 1, layer_size=1000)
    docker = random_image(seed, layer_size=1000, docker=True)
    return {
        "image": amd,
        "docker image": docker,
        "index": index([amd, arm]),
        "docker list": index([docker], docker=True),
        "artifact": artifact(b"%d" % seed, "application/x-sbom"),
        "image without layers": random_image(seed, layers=0),
        "index of nothing": index([]),
    }


@pytest.mark.parametrize("kind", sorted(_kinds(0)))
def test_every_kind_of_manifest_is_pushed_and_pulled(repository: Repository, seed: int, kind: str) -> None:
    value = _kinds(seed)[kind]

    repository.push("latest", value)

    repository.assert_holds("latest", value)


def test_the_old_artifact_manifest_is_taken(repository: Repository, unique: bytes) -> None:
    """OCI 1.1 release candidates had it, and registries hold some."""
    blob = repository.push_blob(unique)
    document = {
        "mediaType": ARTIFACT,
        "artifactType": "a/b",
        "blobs": [{"mediaType": "a/b", "digest": blob, "size": 8}],
    }
    content = Content(ARTIFACT, json.dumps(document).encode())

    assert repository.push_content("latest", content).status == 201
    reply = repository.call("GET", "manifests/latest")
    assert (reply.body, reply.header("Content-Type")) == (content.data, ARTIFACT)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_push_by_digest_answers_with_place_and_digest(repository: Repository, seed: int, algorithm: str) -> None:
    data = index([]).manifest.data + b"\n" * (seed % 100)
    digest = digest_of(data, algorithm)

    reply = repository.put_manifest(digest, data, OCI_INDEX)

    assert reply.status == 201
    assert reply.header("Docker-Content-Digest") == digest
    assert "OCI-Tag" not in reply.headers
    assert "OCI-Subject" not in reply.headers
    assert repository.wire.call("GET", reply.header("Location")).body == data
    assert repository.tags() == []


def test_a_manifest_is_stored_byte_for_byte(repository: Repository) -> None:
    data = (
        b' \n{ "manifests" : [ ] ,\t"schemaVersion": 2.0, "x": "\\u00e9\xc3\xa9", "mediaType":"%b"}\r\n '
        % OCI_INDEX.encode()
    )
    repository.put_manifest("latest", data, OCI_INDEX)

    for reference in ("latest", digest_of(data)):
        reply = repository.call("GET", f"manifests/{reference}")
        assert (reply.status, reply.body) == (200, data)
        assert reply.header("Docker-Content-Digest") == digest_of(data)


@pytest.mark.parametrize(
    ("content_type", "served"),
    [
        (OCI_MANIFEST, OCI_MANIFEST),
        (DOCKER_MANIFEST, DOCKER_MANIFEST),
        (f"{DOCKER_MANIFEST}; charset=utf-8", DOCKER_MANIFEST),
        (OCI_MANIFEST.upper(), OCI_MANIFEST),
        ("", OCI_MANIFEST),
    ],
)
def test_the_content_type_says_what_a_silent_manifest_is(
    repository: Repository, seed: int, content_type: str, served: str
) -> None:
    image = random_image(seed, layer_size=100)
    for blob in image.blobs:
        repository.push_blob(blob.data)
    document = json.loads(image.manifest.data)
    del document["mediaType"]
    data = json.dumps(document).encode()

    headers = {"Content-Type": content_type} if content_type else {}
    assert repository.call("PUT", "manifests/latest", body=data, headers=headers).status == 201

    for method in ("GET", "HEAD"):
        assert repository.call(method, "manifests/latest").header("Content-Type") == served


@pytest.mark.parametrize("count", [1, 2, 10])
def test_a_push_by_digest_may_move_tags(repository: Repository, seed: int, count: int) -> None:
    data = index([]).manifest.data + b" " * (seed % 100)
    tags = [f"t{number}" for number in range(count)]

    reply = repository.put_manifest(f"{digest_of(data)}?{'&'.join(f'tag={tag}' for tag in tags)}", data, OCI_INDEX)

    assert reply.status == 201
    assert reply.headers.get_all("OCI-Tag") == tags
    assert repository.tags() == sorted(tags)
    for tag in tags:
        assert repository.call("GET", f"manifests/{tag}").body == data


def test_tags_that_are_named_twice_are_moved_once(repository: Repository) -> None:
    data = index([]).manifest.data

    reply = repository.put_manifest(f"{digest_of(data)}?tag=a&tag=b&tag=a", data, OCI_INDEX)

    assert reply.headers.get_all("OCI-Tag") == ["a", "b"]


def test_a_tag_moves(repository: Repository, seed: int) -> None:
    old, new = random_image(seed), random_image(seed + 1)
    repository.push("latest", old)
    repository.push("latest", new)

    repository.assert_holds("latest", new)
    assert repository.call("GET", f"manifests/{old.manifest.digest}").body == old.manifest.data
    assert repository.tags() == ["latest"]


@pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', "*"])
def test_a_manifest_that_the_client_has_is_not_sent_again(repository: Repository, form: str) -> None:
    digest = repository.push("latest", index([]))

    for reference in ("latest", digest):
        for method in ("GET", "HEAD"):
            reply = repository.call(method, f"manifests/{reference}", headers={"If-None-Match": form.format(digest)})
            assert (reply.status, reply.body) == (304, b"")
            assert reply.header("Docker-Content-Digest") == digest
            assert reply.header("ETag") == f'"{digest}"'
    assert repository.call("GET", "manifests/latest", headers={"If-None-Match": '"x"'}).status == 200


def test_what_is_not_there_is_an_unknown_manifest(repository: Repository) -> None:
    repository.push("latest", index([]))
    for reference in ("nowhere", digest_of(b"nowhere"), digest_of(b"nowhere", "sha512")):
        for method in ("GET", "DELETE"):
            reply = repository.call(method, f"manifests/{reference}")
            assert (reply.status, reply.codes) == (404, ["MANIFEST_UNKNOWN"])


def test_a_manifest_belongs_to_its_repository(repository: Repository, other: Repository) -> None:
    digest = repository.push("latest", index([]))

    for reference in ("latest", digest):
        assert other.call("GET", f"manifests/{reference}").codes == ["MANIFEST_UNKNOWN"]


def test_every_missing_reference_is_named(repository: Repository, other: Repository, seed: int) -> None:
    image = random_image(seed, layers=3, layer_size=100)
    repository.push_blob(image.layers[0].data)
    for blob in image.blobs:
        other.push_blob(blob.data)

    reply = repository.push_content("latest", image.manifest)

    assert reply.status == 404
    assert set(reply.codes) == {"MANIFEST_BLOB_UNKNOWN"}
    missing = [error["detail"]["digest"] for error in reply.json["errors"]]
    assert missing == [image.config.digest, image.layers[1].digest, image.layers[2].digest]
    assert repository.call("GET", "manifests/latest").status == 404


def test_a_missing_child_of_an_index_is_named(repository: Repository, seed: int) -> None:
    value = index([random_image(seed, layer_size=100)])

    reply = repository.push_content("latest", value.manifest)

    assert (reply.status, reply.codes) == (404, ["MANIFEST_BLOB_UNKNOWN"])
    assert value.images[0].manifest.digest in reply.message


def test_a_deleted_tag_leaves_the_manifest(repository: Repository) -> None:
    digest = repository.push("latest", index([]))
    repository.push("other", index([]))

    assert repository.call("DELETE", "manifests/latest").status == 202

    assert repository.call("GET", "manifests/latest").status == 404
    assert repository.call("GET", f"manifests/{digest}").status == 200
    assert repository.tags() == ["other"]
    assert repository.call("DELETE", "manifests/latest").codes == ["MANIFEST_UNKNOWN"]


def test_a_deleted_manifest_takes_its_tags_with_it(repository: Repository, seed: int) -> None:
    image, staying = random_image(seed, layer_size=100), index([])
    digest = repository.push("one", image)
    repository.push("two", image)
    repository.push("three", staying)

    assert repository.call("DELETE", f"manifests/{digest}").status == 202

    for reference in ("one", "two", digest):
        for method in ("GET", "HEAD"):
            assert repository.call(method, f"manifests/{reference}").status == 404
    assert repository.tags() == ["three"]
    assert repository.call("DELETE", f"manifests/{digest}").status == 404
    repository.push("one", image)
    repository.assert_holds("one", image)


def test_a_manifest_is_as_large_as_the_limit_and_no_larger(repository: Repository) -> None:
    limit = 4 * 1024 * 1024
    empty = index([]).manifest.data
    data = empty + b" " * (limit - len(empty))

    assert repository.put_manifest("latest", data, OCI_INDEX).status == 201
    assert repository.call("GET", "manifests/latest").body == data
    for body in (data + b" ", [data, b" "]):
        reply = repository.call("PUT", "manifests/larger", body=body, headers={"Content-Type": OCI_INDEX})
        assert (reply.status, reply.codes) == (413, ["MANIFEST_INVALID"])
        assert str(limit) in reply.message
    assert repository.tags() == ["latest"]


def test_a_tag_goes_with_a_push_by_digest_only(repository: Repository) -> None:
    reply = repository.put_manifest("latest?tag=other", index([]).manifest.data, OCI_INDEX)

    assert (reply.status, reply.codes) == (400, ["UNSUPPORTED"])
    assert repository.call("GET", "manifests/latest").status == 404


def test_accept_may_be_anything(repository: Repository) -> None:
    """distribution-spec, "Pulling manifests": the client decides by the type that it gets."""
    repository.push("latest", index([]))

    for accept in ("text/html", DOCKER_LIST, "*/*", ""):
        reply = repository.call("GET", "manifests/latest", headers={"Accept": accept})
        assert (reply.status, reply.header("Content-Type")) == (200, OCI_INDEX)


def _indexes(seed: int, count: int) -> list[bytes]:
    return [index([]).manifest.data + b"\n" * (seed % 100) + b" " * number for number in range(count)]


def _put_if(repository: Repository, reference: str, data: bytes, **conditions: str) -> int:
    headers = {name.replace("_", "-"): value for name, value in conditions.items()}
    reply = repository.call("PUT", f"manifests/{reference}", body=data, headers={"Content-Type": OCI_INDEX, **headers})
    assert reply.status in (201, 412), reply.body
    return reply.status


def test_a_tag_is_moved_only_from_what_its_writer_has_seen(repository: Repository, seed: int) -> None:
    """Source: RFC 9110, 13.1.1; distribution-spec, "Referrers Tag Schema": conditional pushes avoid lost updates."""
    first, second, third = _indexes(seed, 3)

    assert _put_if(repository, "latest", first, If_Match="*") == 412
    assert repository.call("GET", f"manifests/{digest_of(first)}").status == 404
    assert _put_if(repository, "latest", first, If_None_Match="*") == 201
    etag = repository.call("GET", "manifests/latest").header("ETag")
    assert _put_if(repository, "latest", second, If_None_Match="*") == 412
    assert _put_if(repository, "latest", second, If_Match=f"W/{etag}") == 412
    assert _put_if(repository, "latest", second, If_Match=f'"other", {etag}') == 201
    assert _put_if(repository, "latest", third, If_Match=etag) == 412

    assert repository.call("GET", "manifests/latest").body == second


def test_a_digest_is_pushed_only_if_it_is_not_there_where_the_client_says_so(repository: Repository, seed: int) -> None:
    (data,) = _indexes(seed, 1)
    reference = f"{digest_of(data)}?tag=one"

    assert [_put_if(repository, reference, data, If_None_Match="*") for _ in range(2)] == [201, 412]
    assert _put_if(repository, f"{digest_of(data)}?tag=two", data, If_Match="*") == 201
    assert repository.tags() == ["one", "two"]


def test_of_many_writers_that_have_seen_the_same_one_wins(repository: Repository, seed: int) -> None:
    first, *others = _indexes(seed, 9)
    assert _put_if(repository, "latest", first) == 201
    etag = repository.call("GET", "manifests/latest").header("ETag")

    with ThreadPoolExecutor(len(others)) as pool:
        statuses = list(pool.map(lambda data: _put_if(repository, "latest", data, If_Match=etag), others))

    assert sorted(statuses) == [201, *[412] * (len(others) - 1)]
    assert repository.call("GET", "manifests/latest").body == others[statuses.index(201)]


def test_what_was_moved_since_its_client_looked_is_not_deleted(repository: Repository, seed: int) -> None:
    first, second = _indexes(seed, 2)
    assert _put_if(repository, "latest", first) == 201
    etag = repository.call("GET", "manifests/latest").header("ETag")
    assert _put_if(repository, "latest", second) == 201

    def delete_if(reference: str, etag: str) -> int:
        return repository.call("DELETE", f"manifests/{reference}", headers={"If-Match": etag}).status

    assert delete_if("latest", etag) == 412
    assert repository.call("GET", "manifests/latest").body == second
    assert delete_if("latest", f'"{digest_of(second)}"') == 202
    assert repository.call("GET", "manifests/latest").status == 404
    assert delete_if(digest_of(second), etag) == 412
    assert delete_if(digest_of(second), "*") == 202
